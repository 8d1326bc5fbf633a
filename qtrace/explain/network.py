"""The groups of a line -> NICs, back ends, hubs, and who is whose peer (net/net.c, net/hub.c).

Clients are made in QEMU's order: -netdev that is keyval or JSON, other -netdev, -nic, -net; then the
machine's NICs, then -device, then -device in JSON. What QEMU would refuse on the way raises RefusedLine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from qtrace.errors import RefusedLine
from qtrace.explain.backends import Given, check_backend, parse_mac
from qtrace.explain.collect import Setup
from qtrace.explain.devices import check_properties
from qtrace.explain.machine import Machine
from qtrace.explain.models import Models
from qtrace.explain.opts import Opts
from qtrace.explain.schema import Schema
from qtrace.explain.values import number, visit_data, visit_opts
from qtrace.explain.words import Option

__all__ = ["Client", "Network", "Requested", "build"]

_MOST_NICS = 8  # MAX_NICS: those of -nic and -net nic
# Only -nic and -net nic know it (hw/pci/pci.c; in later releases the machines).
_ALIAS = {"virtio": "virtio-net-pci"}
_NE2000 = "ne2k_isa"
_FIRST_MAC, _LAST_MAC = 0x56, 0xFF


@dataclass(slots=True)
class Client:
    """A NIC, a back end or a hub's port. `form` is the option that made it, empty for QEMU's default."""

    name: str
    kind: str  # nic, netdev, port
    type: str
    form: str
    opts: Opts | None
    values: dict[str, Any] = field(default_factory=dict)
    queues: int = 1
    peer: Client | None = None
    hub: int | None = None
    mac: str = ""
    generated: bool = False

    @property
    def option(self) -> Option | None:
        """Where it was asked for; None for QEMU's default."""
        return self.opts.option if self.opts and self.form else None


@dataclass(slots=True)
class Requested:
    """A NIC that -nic or -net nic asks the machine for: `nd_table` of net/net.c."""

    model: str | None
    mac: str
    peer: Client
    opts: Opts
    form: str
    made: bool = False


@dataclass(slots=True)
class Network:
    """All of it. `hubs`: number -> ports, in their order."""

    clients: list[Client] = field(default_factory=list)
    hubs: dict[int, list[Client]] = field(default_factory=dict)
    requested: list[Requested] = field(default_factory=list)
    others: list[Opts] = field(default_factory=list)  # -device that is no NIC
    unknown: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def nics(self) -> list[Client]:
        """The NICs, in QEMU's order."""
        return [client for client in self.clients if client.kind == "nic"]

    @property
    def netdevs(self) -> list[Client]:
        """The back ends, in QEMU's order."""
        return [client for client in self.clients if client.kind == "netdev"]

    def find(self, name: str) -> Client | None:
        """The back end or port of that name (`qemu_find_netdev`)."""
        return next((item for item in self.clients if item.kind != "nic" and item.name == name), None)


def build(
    setup: Setup, machine: Machine, schema: Schema, models: Models, compiled: set[str], lenient: bool = False
) -> Network:
    """The network of a line. `compiled`: the back ends that the indexed QEMU has. Raises RefusedLine."""
    return _Builder(setup, machine, schema, models, compiled, lenient).build()


class _Builder:
    def __init__(
        self,
        setup: Setup,
        machine: Machine,
        schema: Schema,
        models: Models,
        compiled: set[str],
        lenient: bool,
    ) -> None:
        self.setup, self.machine, self.schema, self.models = setup, machine, schema, models
        self.compiled, self.lenient = compiled, lenient
        self.network = Network(remarks=list(setup.remarks))
        self.generated = 0
        self.macs = dict.fromkeys(range(_FIRST_MAC, _LAST_MAC), 0)
        self.forwards: list[tuple[str, str, int]] = []
        # A branch that the schema has under a condition exists only where its back end is compiled.
        self.allowed = {
            name: entry for name, entry in schema.netdevs().items() if not entry[1] or name in compiled
        }
        self.chardevs = setup.chardevs()

    def build(self) -> Network:
        for opts in self.setup.modern:
            self.visit_modern(opts)  # while the line is read, so before all others
        for opts in self.setup.modern:
            self.make_netdev(opts, str(opts.data["type"] if opts.data else ""), "-netdev", None)
        for opts in self.setup.groups["netdev"]:
            self.make_netdev(opts, self.visit(opts), "-netdev", None)
        for opts in self.setup.groups["nic"]:
            self.nic(opts)
        nets = list(self.setup.groups["net"])
        form = "-net"
        if self.setup.default:
            form = ""
            nets = [Opts(Option("net", kind, 0), None, [("type", kind)]) for kind in self.defaults()]
        for opts in nets:
            self.net(opts, form)
        if self.machine.onboard:
            for request in self.in_order():
                self.onboard(request)
        for opts in (*self.setup.groups["device"], *self.setup.typed):
            self.device(opts)
        return self.network

    def defaults(self) -> list[str]:
        return ["nic", "user"] if "user" in self.compiled else ["nic"]

    def visit_modern(self, opts: Opts) -> None:
        assert opts.data is not None
        unknown = visit_data(str(opts.option), opts.data, "Netdev", self.schema, typed=opts.is_json)
        self.check_unknown(opts, unknown)
        if opts.data["type"] not in self.allowed:
            raise RefusedLine(f"{opts.option}: there is no back end {opts.data['type']!r}")

    def visit(self, opts: Opts) -> str:
        """The type of back end, values checked; ipv6-net is taken apart first, as QEMU does."""
        net6 = opts.get("ipv6-net")
        if net6 is not None:
            prefix, slash, bits = net6.partition("/")
            if slash and number(bits) is None:
                raise RefusedLine(f"{opts.option}: what follows the '/' of ipv6-net is no number")
            opts.take("ipv6-net")
            opts.put("ipv6-prefix", prefix)
            opts.put("ipv6-prefixlen", bits if slash else "64")
        kind, unknown = visit_opts(opts, self.schema, self.allowed)
        self.check_unknown(opts, unknown)
        return kind

    def check_unknown(self, opts: Opts, names: list[str]) -> None:
        if names and not self.lenient:
            kind = opts.get("type") or ""
            known = ", ".join(item.name for item in self.schema.options_of(kind))
            raise RefusedLine(
                f"{opts.option}: {kind} has no option {names[0]!r}",
                hint=f"it has {known}" if known else "it has none",
            )
        self.network.unknown += [f"{opts.option}: {name}" for name in names]

    def make_netdev(self, opts: Opts, kind: str, form: str, peer: Client | None) -> Client:
        """`net_client_init1` for a back end."""
        if kind not in self.compiled or kind in ("nic", "none"):
            what = (
                "is no back end"
                if kind in ("nic", "none")
                else "is not in this QEMU as it is built for Linux"
            )
            raise RefusedLine(f"{opts.option}: {kind} {what}")
        name = opts.id or ""
        if self.network.find(name):
            raise RefusedLine(f"{opts.option}: the id {name!r} is taken", hint="each back end has its own id")
        values = self.values(opts, kind)
        given = Given(opts, values, peer is not None, self.chardevs, self.forwards)
        queues = check_backend(kind, given)
        client = Client(name, "netdev", kind, form, opts, values, queues, generated=name.startswith("#"))
        if kind == "hubport":
            client.kind = "port"
            self.hubport(client, given)
        self.connect(client, peer)
        self.network.clients.append(client)
        return client

    def values(self, opts: Opts, kind: str) -> dict[str, Any]:
        """Option -> value: of a scalar the last, of a list all."""
        if opts.data is not None:
            return {key: value for key, value in opts.data.items() if key not in ("id", "type")}
        found: dict[str, Any] = {}
        many = {item.name for item in self.schema.options_of(kind) if item.many}
        for key, value in opts.pairs:
            if key in many:
                found.setdefault(key, []).append(value)
            elif key != "type":
                found[key] = value
        return found

    def hubport(self, client: Client, given: Given) -> None:
        hub = number(str(given.values["hubid"]))
        assert hub is not None
        other = None
        if "netdev" in given.values:
            other = self.network.find(str(given.values["netdev"]))
            if other is None:
                raise given.refuse(f"there is no netdev {given.values['netdev']!r} before it")
            if other.peer is not None:
                raise given.refuse(f"{other.name!r} has a peer already: QEMU ends with a failed assertion")
        client.hub = hub
        self.network.hubs.setdefault(hub, []).append(client)
        self.connect(client, other)

    def port(self) -> Client:
        """A new port on hub 0, as each -net gets."""
        ports = self.network.hubs.setdefault(0, [])
        numbered = Client(f"hub0port{len(ports)}", "port", "hubport", "", None, hub=0)
        ports.append(numbered)
        self.network.clients.append(numbered)
        return numbered

    @staticmethod
    def connect(client: Client, peer: Client | None) -> None:
        if peer is not None:
            client.peer, peer.peer = peer, client

    def name(self) -> str:
        """An id as `id_generate` makes it, without the two digits that are drawn by lot."""
        self.generated += 1
        return f"#net{self.generated - 1}"

    def nic(self, opts: Opts) -> None:
        """`net_param_nic`."""
        if opts.get("type") == "none":
            return
        if len(self.network.requested) >= _MOST_NICS:
            raise RefusedLine(f"{opts.option}: there can be no more than {_MOST_NICS} of -nic and -net nic")
        working = Opts(opts.option, opts.id, list(opts.pairs), flags=opts.flags)
        if working.get("type") is None:
            working.put("type", "user")
        model = working.take("model")
        working.id = working.id or self.name()
        mac = self.checked_mac(working, working.take("mac"))
        peer = self.make_netdev(working, self.visit(working), "-nic", None)
        self.network.requested.append(Requested(model, mac, peer, opts, "-nic"))

    def net(self, opts: Opts, form: str) -> None:
        """`net_init_client`: a port on hub 0, and what hangs on it."""
        working = Opts(opts.option, opts.id or self.name(), list(opts.pairs), flags=opts.flags)
        kind = self.visit(working)
        if kind == "none":
            return
        if kind == "hubport":
            raise RefusedLine(f"{opts.option}: a hub's port is made with -netdev or -nic")
        if kind != "nic" and kind not in self.compiled:
            raise RefusedLine(f"{opts.option}: {kind} is not in this QEMU as it is built for Linux")
        on_netdev = kind == "nic" and working.get("netdev") is not None
        port = None if on_netdev else self.port()
        if self.network.find(working.id or ""):
            raise RefusedLine(f"{opts.option}: the id {working.id!r} is taken")
        if kind == "nic":
            self.net_nic(opts, working, port, form)
        else:
            client = self.make_netdev(working, kind, form, port)
            client.generated = opts.id is None

    def net_nic(self, opts: Opts, working: Opts, port: Client | None, form: str) -> None:
        if len(self.network.requested) >= _MOST_NICS:
            raise RefusedLine(f"{opts.option}: there can be no more than {_MOST_NICS} of -nic and -net nic")
        if port is None:
            port = self.network.find(str(working.get("netdev")))
            if port is None:
                raise RefusedLine(
                    f"{opts.option}: there is no netdev {working.get('netdev')!r}",
                    hint=f"add -netdev …,id={working.get('netdev')}",
                )
        mac = self.checked_mac(working, working.get("macaddr"))
        if (number(working.get("vectors") or "0") or 0) > 0x7FFFFFF:
            raise RefusedLine(f"{opts.option}: vectors= is too large")
        self.network.requested.append(Requested(working.get("model"), mac, port, opts, form))

    def checked_mac(self, opts: Opts, text: str | None) -> str:
        """The address of an on-board NIC: as given, else the next free one."""
        mac = ""
        if text is not None:
            found = parse_mac(text, strict=False)
            if found is None:
                raise RefusedLine(
                    f"{opts.option}: {text!r} is no MAC address", hint="it is written 52:54:00:12:34:56"
                )
            if int(found[:2], 16) & 1:
                raise RefusedLine(f"{opts.option}: {text} is a multicast address, which no NIC can have")
            mac = found
        return self.settle(mac)

    def settle(self, mac: str) -> str:
        """`qemu_macaddr_default_if_unset`."""
        base = "52:54:00:12:34:"
        if mac and mac != "00:00:00:00:00:00":
            last = int(mac[-2:], 16)
            if mac.startswith(base) and last in self.macs:
                self.macs[last] += 1
            return mac
        free = next((last for last, used in self.macs.items() if not used), None)
        if free is None:
            return base + "ff"
        self.macs[free] += 1
        return f"{base}{free:02x}"

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
                    return  # a warning in this release
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
        request.made = True
        nic = self.new_nic(model, None, request.form, request.opts, request.peer)
        nic.mac = self.settle(request.mac)

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
        nic.values = opts.data if opts.data is not None else dict(opts.pairs)
        if peer is not None and peer.peer is not None:
            raise RefusedLine(f"{opts.option}: {peer.name!r} has a NIC already", hint=_HINT_TAKEN)
        if peer is not None:
            self.check_peer(opts, model, peer)
        self.connect(nic, peer)
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
            self.network.others.append(opts)
            return
        if model.abstract or (model.bus == "System" and self.machine.known):
            raise RefusedLine(f"{opts.option}: {driver!r} is no device that can be added")
        devices = [item.get("driver") or "" for item in self.network.others]
        bus = opts.get("bus")
        if bus is None and self.machine.lacks(model.bus, devices):
            raise RefusedLine(
                f"{opts.option}: the machine {self.machine.name} has no {model.bus} for it",
                hint="-usb adds one" if model.bus == "usb-bus" else "",
            )
        if opts.id and any(nic.name == opts.id for nic in self.network.nics if nic.form == "-device"):
            raise RefusedLine(f"{opts.option}: there are two devices with the id {opts.id!r}")
        properties = self.models.properties(model)
        unknown = check_properties(opts, model, properties, self.lenient)
        self.network.unknown += [f"{opts.option}: {name}" for name in unknown]
        peer = None
        netdev = opts.get("netdev")
        if netdev is not None:
            peer = self.network.find(netdev)
            if peer is None:
                raise RefusedLine(
                    f"{opts.option}: there is no netdev {netdev!r}", hint=f"add -netdev …,id={netdev}"
                )
        if "netdev" not in properties:
            self.network.others.append(opts)
            return
        nic = self.new_nic(model.type, opts.id, "-device", opts, peer)
        mac = opts.get("mac")
        nic.mac = self.settle(parse_mac(mac, strict=True) or "" if mac is not None else "")


_HINT_TAKEN = "a netdev has one NIC; for more, put them on a hub with -netdev hubport"
