"""The NICs: the machine's own, and those of -device (hw/pci/pci.c, hw/i386/pc.c, qdev-monitor.c).

An option that QEMU would refuse raises RefusedLine.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext, suppress

from qtrace.errors import RefusedLine
from qtrace.explain.backends import parse_mac
from qtrace.explain.clients import Client, Network, Requested
from qtrace.explain.collect import Global
from qtrace.explain.devices import check_properties
from qtrace.explain.machine_type import Machine
from qtrace.explain.macs import Macs
from qtrace.explain.models import Model, Models
from qtrace.explain.opts import Opts
from qtrace.explain.releases import taken_by
from qtrace.explain.slots import Slots, is_pci, parse_address
from qtrace.explain.values import number

__all__ = ["NicMaker"]

# Only -nic and -net nic know this name (hw/pci/pci.c; in later releases the machines).
_ALIAS = {"virtio": "virtio-net-pci"}
_NE2000 = "ne2k_isa"
_MOST_NE2000 = 6  # NE2000_NB_MAX
_USUAL_RING = 256  # VIRTIO_NET_TX_QUEUE_DEFAULT_SIZE
_HINT_TAKEN = "a netdev has one NIC; for more, put them on a hub with -netdev hubport"


class NicMaker:
    """Adds the NICs to a network that has its back ends."""

    def __init__(
        self,
        network: Network,
        machine: Machine,
        models: Models,
        macs: Macs,
        settings: list[Global],
        lenient: bool,
    ) -> None:
        self.network, self.machine, self.models, self.macs = network, machine, models, macs
        self.globals, self.lenient = settings, lenient
        self.used: set[int] = set()  # those `globals` that a device used
        self.slots = Slots(machine.root, machine.taken)

    def board(self) -> None:
        """Make the NICs of -nic and -net nic, and the default NIC."""
        if self.machine.root and (self.models.lists_late or self.network.requested):
            # QEMU creates one device of each model to list them, and applies -global to each.
            for model in self.models.by_type.values():
                if model.built and model.bus == "PCI" and not model.abstract:
                    self.check_globals(model)
        if self.machine.onboard:
            for request in self.in_order():
                self.onboard(request)
        self.slots.known = self.slots.known and not self.machine.adds

    def tolerated(self) -> AbstractContextManager[None]:
        """Ignore errors about a device's place if the reader is lenient: such a line runs already."""
        return suppress(RefusedLine) if self.lenient else nullcontext()

    def in_order(self) -> list[Requested]:
        """The requests in the machine's order: if models are matched to buses, the ISA bus comes first."""

        def of_isa(request: Requested) -> bool:
            return (request.model or self.machine.default_nic) == _NE2000

        late = self.models.lists_late and self.machine.known
        return sorted(self.network.requested, key=lambda request: late and not of_isa(request))

    def onboard(self, request: Requested) -> None:
        """Make a NIC of -nic or -net nic (`pc_nic_init`, `pci_nic_init_nofail`)."""
        if self.machine.known:
            model = self.board_model(request)
            if model is None or not self.has_room(request, model):
                return
        else:
            asked = request.model or self.machine.default_nic
            model = self.board_name(asked) if asked else "the machine's own"
        known = self.models.by_type.get(model)
        if known is not None and self.global_of(known, "netdev") is not None:
            raise RefusedLine(f"{request.opts.option}: a -global names the back end of every {model} already")
        request.made = True
        nic = self.new_nic(model, None, request.form, request.opts, request.peer)
        if self.machine.root and model != _NE2000:
            with self.tolerated():
                nic.bus, nic.address = self.machine.root, self.board_slot(request, nic)
        nic.mac = self.macs.settle(request.mac)
        self.settings(nic, self.models.by_type.get(model), besides=("mac",))  # which the machine sets

    def board_name(self, model: str) -> str:
        """The type for a model's name of -nic and -net nic."""
        if model == "virtio" and self.machine.transport == "ccw":
            return "virtio-net-ccw"
        return _ALIAS.get(model, model)

    def board_model(self, request: Requested) -> str | None:
        """The type that a known machine makes for a request; None if it silently makes none."""
        where = request.opts.option
        asked = request.model or self.machine.default_nic
        if asked in ("help", "?"):
            raise RefusedLine(f"{where}: this asks QEMU for its help, and starts no guest")
        model = self.board_name(asked)
        known = self.models.by_type.get(model)
        if model != _NE2000 and not self.lenient and not (known and self.on_board(known)):
            if self.models.lists_late:
                return None  # QEMU only warns
            raise RefusedLine(
                f"{where}: no PC has a NIC of the model {model!r}",
                hint="'-nic model=help' lists them; -device may know others",
            )
        if known is not None and self.machine.lacks(known.bus, []):
            if self.models.lists_late:
                return None
            raise RefusedLine(f"{where}: the machine {self.machine.name} has no {known.bus} bus")
        return model

    def on_board(self, model: Model) -> bool:
        """Whether a PC's -nic accepts a model: a PCI device that has a netdev."""
        makeable = model.built and not model.abstract and model.bus == "PCI"
        return makeable and "netdev" in self.models.properties(model)

    def has_room(self, request: Requested, model: str) -> bool:
        """Whether the machine has room for one more NIC (`pc_init_ne2k_isa`)."""
        if model != _NE2000 or sum(nic.type == _NE2000 for nic in self.network.nics) < _MOST_NE2000:
            return True
        if self.models.lists_late:
            raise RefusedLine(f"{request.opts.option}: a PC has no more than {_MOST_NE2000} of {_NE2000}")
        return False

    def board_slot(self, request: Requested, nic: Client) -> str:
        """The slot on the machine: addr= of -net nic, unless this release ignores it."""
        opts, bus = request.opts, self.machine.root
        text = opts.get("addr") if request.form == "-net" else None
        if text is None:
            return self.slots.take(opts, nic.type, bus, None)
        if self.models.lists_late:
            nic.values.pop("addr")
            self.network.remarks.append(f"{opts.option}: addr= has no effect on a PC of this release")
            return self.slots.take(opts, nic.type, bus, None)
        place = parse_address(text)
        if place is None or place[1]:
            raise RefusedLine(f"{opts.option}: addr={text} is no PCI slot", hint="it is hexadecimal: 1 to 1f")
        return self.slots.take(opts, nic.type, bus, place)

    def check_globals(self, model: Model) -> None:
        """Raises RefusedLine for a -global that does not fit a model of which a device exists."""
        for item in self.globals:
            if item.driver not in (model.type, *model.parents):
                continue
            if item.property == "addr" and model.bus == "PCI":
                raise RefusedLine(f"{item.option}: addr is no -global: QEMU ends with a failed assertion")
            opts = Opts(item.option, None, [(item.property, item.value)])
            unknown = check_properties(opts, model, self.models.properties(model), self.lenient)
            self.network.unknown += [f"{item.option}: {name}" for name in unknown]

    def global_of(self, model: Model, name: str) -> str | None:
        """The value of a property from -global."""
        mine = (model.type, *model.parents)
        return next(
            (i.value for i in reversed(self.globals) if i.driver in mine and i.property == name), None
        )

    def settings(self, nic: Client, model: Model | None, besides: Collection[str] = ()) -> None:
        """Apply -global to a NIC, except for the properties in `besides`."""
        for place, item in reversed(list(enumerate(self.globals))):
            if model is None or item.driver not in (model.type, *model.parents):
                continue
            self.used.add(place)
            if item.property not in (*nic.values, *besides):
                nic.values[item.property] = item.value
                nic.settings[item.property] = str(item.option)

    def unused(self) -> None:
        """Report each -global of a NIC's model that has no effect."""
        for place, item in enumerate(self.globals):
            if place not in self.used and self.models.resolve(item.driver) in self.models.by_type:
                self.network.remarks.append(
                    f"{item.option}: no device of the line is a {item.driver!r}, so it changes nothing"
                )

    def unknown_nic(self, opts: Opts, driver: str) -> None:
        """A device unknown to this release, with a back end: since the line runs, it must be a NIC."""
        peer = self.network.find(opts.get("netdev") or "")
        self.network.unknown.append(f"{opts.option}: the device {driver!r}")
        self.new_nic(driver, opts.id, "-device", opts, peer)

    def new_nic(self, model: str, name: str | None, form: str, opts: Opts, peer: Client | None) -> Client:
        """`qemu_new_nic`: one client for each queue of its peer."""
        same = sum(client.queues for client in self.network.nics if client.type == model)
        queues = peer.queues if peer else 1
        nic = Client(
            name or f"{model}.{same}", "nic", model, form, opts, queues=queues, generated=name is None
        )
        nic.values = dict(opts.data if opts.data is not None else opts.pairs)
        if peer is not None and peer.peer is not None:
            raise RefusedLine(f"{opts.option}: {peer.name!r} has a NIC already", hint=_HINT_TAKEN)
        if peer is not None:
            self.check_peer(opts, model, peer)
            nic.peer, peer.peer = peer, nic
        self.network.clients.append(nic)
        return nic

    def check_peer(self, opts: Opts, model: str, peer: Client) -> None:
        virtio = model.startswith("virtio-net")
        if peer.type in ("vhost-user", "vhost-vdpa") and not virtio:
            raise RefusedLine(f"{opts.option}: {peer.type} works with a virtio NIC only, not with {model}")

    def device(self, opts: Opts) -> None:
        """`qdev_device_add`, for NICs."""
        driver = self.driver(opts)
        model = self.models.by_type.get(self.models.resolve(driver, self.machine.transport))
        names = list(opts.data or {}) if opts.data is not None else [key for key, _ in opts.pairs]
        if model is None and self.lenient and "netdev" in names:
            self.unknown_nic(opts, driver)
            return
        if model is None or (not model.built and self.machine.known and not self.lenient):
            self.no_nic(opts, driver, model, "netdev" in names)
            return
        self.check_place(opts, driver, model)
        bus = ""
        with self.tolerated():
            bus = self.slots.bus(opts, model.bus)
        properties = self.models.properties(model)
        unknown = check_properties(opts, model, properties, self.lenient)
        self.network.unknown += [f"{opts.option}: {name}" for name in unknown]
        self.check_globals(model)
        peer = self.peer_of(opts, model)
        if "netdev" not in properties:
            self.other(opts, driver)
            return
        self.check_ring(opts, model, peer)
        nic = self.new_nic(model.type, opts.id, "-device", opts, peer)
        if model.bus == "PCI":
            with self.tolerated():
                nic.bus, nic.address = bus, self.slots.nic(opts, model.type, bus)
        self.settings(nic, model)
        nic.mac = self.macs.settle(self.mac_of(opts, nic))

    def check_ring(self, opts: Opts, model: Model, peer: Client | None) -> None:
        """Raises RefusedLine for a transmit ring larger than the back end's kind allows, if this release does
        not reduce it (virtio_net_device_realize).
        """
        ring = number(str(opts.get("tx_queue_size") or 0)) or 0
        large = peer is not None and peer.type in ("vhost-user", "vhost-vdpa")
        if ring > _USUAL_RING and not large and self.models.refuses_rings and not self.lenient:
            raise RefusedLine(
                f"{opts.option}: tx_queue_size={ring} is for vhost-user and vhost-vdpa, here {model.type} "
                f"has {_USUAL_RING} at most",
                hint="omit tx_queue_size=",
            )

    @staticmethod
    def mac_of(opts: Opts, nic: Client) -> str:
        """The address from -device or from a -global of its model, empty if QEMU chooses one."""
        mac = opts.get("mac") or (str(nic.values["mac"]) if "mac" in nic.settings else None)
        return parse_mac(mac, strict=True) or "" if mac is not None else ""

    @staticmethod
    def driver(opts: Opts) -> str:
        """The driver that a -device names."""
        driver = opts.get("driver")
        if driver is None:
            raise RefusedLine(f"{opts.option}: the device (driver=) is missing")
        if driver in ("help", "?"):
            raise RefusedLine(f"{opts.option}: this asks QEMU for its help, and starts no guest")
        return driver

    def no_nic(self, opts: Opts, driver: str, model: Model | None, wants_netdev: bool) -> None:
        """Refuse a device that is no NIC of this QEMU, if it must be one."""
        if wants_netdev and (self.machine.known or model is None):
            raise RefusedLine(
                f"{opts.option}: a QEMU for this machine has no NIC {driver!r}", hint=self.meant(opts, driver)
            )
        if model is not None and self.machine.known and not self.lenient:
            raise RefusedLine(f"{opts.option}: a QEMU for PCs is built without {driver!r}")
        self.other(opts, driver)

    def meant(self, opts: Opts, driver: str) -> str:
        """The right notation for a NIC's name that -device does not know."""
        if driver not in _ALIAS:
            return taken_by("device", driver) or "see: qtrace map"
        known = self.board_name(driver)
        value = (opts.option.value or "").replace(driver, known, 1)
        return f"{driver!r} is a name of -nic and -net nic only; as a device it is -device {value}"

    def check_place(self, opts: Opts, driver: str, model: Model) -> None:
        """Raises RefusedLine if -device cannot make such a device, or cannot on this machine."""
        if model.abstract or not model.pluggable or (model.bus == "System" and self.machine.known):
            raise RefusedLine(f"{opts.option}: {driver!r} is no device that can be added")
        devices = [item.get("driver") or "" for item in self.network.others]
        if (opts.get("bus") is None or model.bus == "PCI") and self.machine.lacks(model.bus, devices):
            raise RefusedLine(
                f"{opts.option}: the machine {self.machine.name} has no {model.bus} for it",
                hint="-usb adds one" if model.bus == "usb-bus" else "",
            )
        if opts.id and any(nic.name == opts.id for nic in self.network.nics if nic.form == "-device"):
            raise RefusedLine(f"{opts.option}: there are two devices with the id {opts.id!r}")

    def peer_of(self, opts: Opts, model: Model) -> Client | None:
        """The back end named by a -device or by a -global of its model."""
        everybodys = self.global_of(model, "netdev")
        if everybodys is not None and opts.get("netdev") is not None:
            raise RefusedLine(f"{opts.option}: a -global names the back end of every {model.type} already")
        netdev = opts.get("netdev") or everybodys
        if netdev is None:
            return None
        peer = self.network.find(netdev)
        if peer is None:
            raise RefusedLine(
                f"{opts.option}: there is no netdev {netdev!r}", hint=f"add -netdev …,id={netdev}"
            )
        return peer

    def other(self, opts: Opts, driver: str) -> None:
        """Take the place of a device that is not a NIC."""
        if is_pci(driver) and not self.lenient and self.machine.lacks("PCI", []):
            raise RefusedLine(f"{opts.option}: the machine {self.machine.name} has no PCI bus for it")
        with self.tolerated():
            self.slots.other(opts)
        self.network.others.append(opts)
