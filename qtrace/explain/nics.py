"""The NICs: those that the machine makes, and those of -device (hw/pci/pci.c, hw/i386/pc.c, qdev-monitor.c).

What QEMU would refuse on the way raises RefusedLine.
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
from qtrace.explain.slots import Slots, is_pci, parse_address

__all__ = ["NicMaker"]

# Only -nic and -net nic know it (hw/pci/pci.c; in later releases the machines).
_ALIAS = {"virtio": "virtio-net-pci"}
_NE2000 = "ne2k_isa"
_MOST_NE2000 = 6  # NE2000_NB_MAX
_HINT_TAKEN = "a netdev has one NIC; for more, put them on a hub with -netdev hubport"


class NicMaker:
    """Adds the NICs to a network whose back ends are there."""

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
        self.used: set[int] = set()  # those of `globals` that a device took
        self.slots = Slots(machine.root, machine.taken)

    def board(self) -> None:
        """What -nic and -net nic asked for, and the default NIC."""
        if self.machine.root and (self.models.lists_late or self.network.requested):
            # To list its models, the machine makes one of each: -global is applied to all of them.
            for model in self.models.by_type.values():
                if model.built and model.bus == "PCI" and not model.abstract:
                    self.check_globals(model)
        if self.machine.onboard:
            for request in self.in_order():
                self.onboard(request)
        self.slots.known = self.slots.known and not self.machine.adds

    def tolerated(self) -> AbstractContextManager[None]:
        """For what is refused of a device's place: a lenient reader's line runs all the same."""
        return suppress(RefusedLine) if self.lenient else nullcontext()

    def in_order(self) -> list[Requested]:
        """As the machine makes them: where models are matched to buses, the ISA bus comes first."""

        def of_isa(request: Requested) -> bool:
            return (request.model or self.machine.default_nic) == _NE2000

        late = self.models.lists_late and self.machine.known
        return sorted(self.network.requested, key=lambda request: late and not of_isa(request))

    def onboard(self, request: Requested) -> None:
        """The machine makes what -nic or -net nic asked for (`pc_nic_init`, `pci_nic_init_nofail`)."""
        if not self.machine.known:
            model = _ALIAS.get(request.model or "", request.model) or "the machine's own"
        else:
            model = request.model or self.machine.default_nic
            if model in ("help", "?"):
                raise RefusedLine(f"{request.opts.option}: this asks QEMU for its help, and starts no guest")
            model = _ALIAS.get(model, model)
            known = self.models.by_type.get(model)
            fits = known is not None and known.built and not known.abstract
            fits = (
                fits
                and known is not None
                and known.bus == "PCI"
                and "netdev" in self.models.properties(known)
            )
            if model != _NE2000 and not fits:
                if self.models.lists_late and not self.lenient:
                    return  # only a warning of QEMU's
                if not self.lenient:
                    raise RefusedLine(
                        f"{request.opts.option}: no PC has a NIC of the model {model!r}",
                        hint="'-nic model=help' lists them; -device may know others",
                    )
            if known is not None and self.machine.lacks(known.bus, []):
                if self.models.lists_late:
                    return
                raise RefusedLine(
                    f"{request.opts.option}: the machine {self.machine.name} has no {known.bus} bus"
                )
        known = self.models.by_type.get(model)
        if known is not None and self.global_of(known, "netdev") is not None:
            raise RefusedLine(f"{request.opts.option}: a -global names the back end of every {model} already")
        if model == _NE2000 and self.machine.known:
            made = sum(client.type == _NE2000 for client in self.network.nics)
            if made >= _MOST_NE2000 and self.models.lists_late:
                raise RefusedLine(f"{request.opts.option}: a PC has no more than {_MOST_NE2000} of {_NE2000}")
            if made >= _MOST_NE2000:
                return
        request.made = True
        nic = self.new_nic(model, None, request.form, request.opts, request.peer)
        if self.machine.root and model != _NE2000:
            with self.tolerated():
                nic.bus, nic.address = self.machine.root, self.board_slot(request, nic)
        nic.mac = self.macs.settle(request.mac)
        self.settings(nic, self.models.by_type.get(model), besides=("mac",))  # which the machine sets

    def board_slot(self, request: Requested, nic: Client) -> str:
        """Where the machine puts it: at addr= of -net nic, unless this release overlooks that."""
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
        """Raises RefusedLine for a -global that does not fit a model, of which there is one."""
        for item in self.globals:
            if item.driver not in (model.type, *model.parents):
                continue
            if item.property == "addr" and model.bus == "PCI":
                raise RefusedLine(f"{item.option}: addr is no -global: QEMU ends with a failed assertion")
            opts = Opts(item.option, None, [(item.property, item.value)])
            unknown = check_properties(opts, model, self.models.properties(model), self.lenient)
            self.network.unknown += [f"{item.option}: {name}" for name in unknown]

    def global_of(self, model: Model, name: str) -> str | None:
        """What -global says of one property."""
        mine = (model.type, *model.parents)
        return next(
            (i.value for i in reversed(self.globals) if i.driver in mine and i.property == name), None
        )

    def settings(self, nic: Client, model: Model | None, besides: Collection[str] = ()) -> None:
        """Give a NIC what -global says of its model, but for those properties."""
        for number, item in reversed(list(enumerate(self.globals))):
            if model is None or item.driver not in (model.type, *model.parents):
                continue
            self.used.add(number)
            if item.property not in (*nic.values, *besides):
                nic.values[item.property] = item.value
                nic.settings[item.property] = str(item.option)

    def unused(self) -> None:
        """Say which -global of a NIC's model changes nothing."""
        for number, item in enumerate(self.globals):
            if number not in self.used and self.models.resolve(item.driver) in self.models.by_type:
                self.network.remarks.append(
                    f"{item.option}: no device of the line is a {item.driver!r}, so it changes nothing"
                )

    def unknown_nic(self, opts: Opts, driver: str) -> None:
        """A device that another release has, with a back end: a NIC it must be, since it runs."""
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
        """`qdev_device_add`, for what is a NIC."""
        driver = opts.get("driver")
        if driver is None:
            raise RefusedLine(f"{opts.option}: it does not say which device (driver)")
        if driver in ("help", "?"):
            raise RefusedLine(f"{opts.option}: this asks QEMU for its help, and starts no guest")
        model = self.models.by_type.get(self.models.resolve(driver))
        names = list(opts.data or {}) if opts.data is not None else [key for key, _ in opts.pairs]
        if self.lenient and model is None and "netdev" in names:
            self.unknown_nic(opts, driver)
            return
        if model is None or (not model.built and self.machine.known and not self.lenient):
            if "netdev" in names and (self.machine.known or model is None):
                raise RefusedLine(
                    f"{opts.option}: a QEMU for this machine has no NIC {driver!r}",
                    hint="see: qtrace map",
                )
            if model is not None and self.machine.known and not self.lenient:
                raise RefusedLine(f"{opts.option}: a QEMU for PCs is built without {driver!r}")
            self.other(opts, driver)
            return
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
        bus = ""
        with self.tolerated():
            bus = self.slots.bus(opts, model.bus)
        properties = self.models.properties(model)
        unknown = check_properties(opts, model, properties, self.lenient)
        self.network.unknown += [f"{opts.option}: {name}" for name in unknown]
        self.check_globals(model)
        peer = None
        everybodys = self.global_of(model, "netdev")
        if everybodys is not None and opts.get("netdev") is not None:
            raise RefusedLine(f"{opts.option}: a -global names the back end of every {model.type} already")
        netdev = opts.get("netdev") or everybodys
        if netdev is not None:
            peer = self.network.find(netdev)
            if peer is None:
                raise RefusedLine(
                    f"{opts.option}: there is no netdev {netdev!r}", hint=f"add -netdev …,id={netdev}"
                )
        if "netdev" not in properties:
            self.other(opts, driver)
            return
        nic = self.new_nic(model.type, opts.id, "-device", opts, peer)
        if model.bus == "PCI":
            with self.tolerated():
                nic.bus, nic.address = bus, self.slots.nic(opts, model.type, bus)
        self.settings(nic, model)
        mac = opts.get("mac") or (str(nic.values["mac"]) if "mac" in nic.settings else None)
        nic.mac = self.macs.settle(parse_mac(mac, strict=True) or "" if mac is not None else "")

    def other(self, opts: Opts, driver: str) -> None:
        """A device that is no NIC: only its place counts here."""
        if is_pci(driver) and not self.lenient and self.machine.lacks("PCI", []):
            raise RefusedLine(f"{opts.option}: the machine {self.machine.name} has no PCI bus for it")
        with self.tolerated():
            self.slots.other(opts)
        self.network.others.append(opts)
