"""Makes NICs, back ends, hubs and their connections from a line's groups (net/net.c, net/hub.c).

Clients are made in QEMU's order: -netdev in keyval or JSON, other -netdev, -nic, -net; then the machine's
NICs, then -device, then -device in JSON. An option that QEMU would refuse raises RefusedLine.
"""

from __future__ import annotations

from typing import Any

from qtrace.errors import RefusedLine
from qtrace.explain.backends import Given, check_backend
from qtrace.explain.clients import Client, Network, Requested
from qtrace.explain.collect import Setup
from qtrace.explain.devices import GONE
from qtrace.explain.filters import check_objects, make_filters
from qtrace.explain.machine_type import Machine
from qtrace.explain.macs import Macs
from qtrace.explain.mending import changed
from qtrace.explain.models import Models
from qtrace.explain.nics import NicMaker
from qtrace.explain.opts import Opts
from qtrace.explain.releases import taken_by
from qtrace.explain.schema import Schema
from qtrace.explain.values import number, visit_data, visit_opts
from qtrace.explain.words import Option

__all__ = ["build"]

# What gives the same without that library.
_INSTEAD = {
    "user": "passt does the same in a program of its own: 'passt -s SOCKET', and with it -netdev stream,"
    "id=ID,server=off,addr.type=unix,addr.path=SOCKET (from release 7.2 on); or a QEMU with libslirp",
}
_MOST_NICS = 8  # MAX_NICS: the limit for -nic and -net nic


def build(
    setup: Setup,
    machine: Machine,
    schema: Schema,
    models: Models,
    compiled: set[str],
    lenient: bool = False,
    elsewhere: frozenset[str] = frozenset(),
    left_out: frozenset[str] = frozenset(),
) -> Network:
    """The network of a line. `compiled`: the back ends of the indexed QEMU; `elsewhere`: those that only the
    QEMU of the line's vendor has, `left_out` those that the program was built without. Raises RefusedLine."""
    return _Builder(setup, machine, schema, models, compiled, lenient, elsewhere, left_out).build()


class _Builder:
    def __init__(
        self,
        setup: Setup,
        machine: Machine,
        schema: Schema,
        models: Models,
        compiled: set[str],
        lenient: bool,
        elsewhere: frozenset[str],
        left_out: frozenset[str],
    ) -> None:
        self.setup, self.machine, self.schema, self.models = setup, machine, schema, models
        self.compiled, self.lenient, self.elsewhere = compiled, lenient, elsewhere
        self.left_out = left_out
        self.network = Network(remarks=list(setup.remarks))
        self.generated = 0
        self.macs = Macs()
        self.forwards: list[tuple[str, str, int]] = []
        # A conditional branch of the schema exists only if its back end is compiled.
        self.allowed = {
            name: entry
            for name, entry in schema.netdevs().items()
            if not entry[1] or name in compiled or name in elsewhere
        } | dict.fromkeys(elsewhere - schema.netdevs().keys(), ("", ""))
        self.chardevs = setup.chardevs()

    def build(self) -> Network:
        for item in check_objects(self.setup, self.schema):
            if not self.lenient:
                raise RefusedLine(f"{item}, which this QEMU does not have")
            self.network.unknown.append(item)
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
        self.network.filters = make_filters(self.setup, self.network)
        nics = NicMaker(self.network, self.machine, self.models, self.macs, self.setup.globals, self.lenient)
        nics.board()
        for opts in (*self.setup.groups["device"], *self.setup.typed):
            nics.device(opts)
        nics.unused()
        return self.network

    def defaults(self) -> list[str]:
        return ["nic", "user"] if "user" in self.compiled else ["nic"]

    def visit_modern(self, opts: Opts) -> None:
        assert opts.data is not None
        self.check_built(opts, str(opts.data.get("type")))
        unknown = visit_data(str(opts.option), opts.data, "Netdev", self.schema, typed=opts.is_json)
        self.check_unknown(opts, unknown)
        if opts.data["type"] not in self.allowed:
            kind = str(opts.data["type"])
            raise RefusedLine(f"{opts.option}: there is no back end {kind!r}", hint=taken_by("netdev", kind))

    def visit(self, opts: Opts) -> str:
        """The type of the back end, with checked values; QEMU splits ipv6-net first."""
        net6 = opts.get("ipv6-net")
        if net6 is not None:
            prefix, slash, bits = net6.partition("/")
            if slash and number(bits) is None:
                raise RefusedLine(f"{opts.option}: what follows the '/' of ipv6-net is no number")
            opts.take("ipv6-net")
            opts.put("ipv6-prefix", prefix)
            opts.put("ipv6-prefixlen", bits if slash else "64")
        self.check_built(opts, opts.get("type") or "")
        kind, unknown = visit_opts(opts, self.schema, self.allowed)
        self.check_unknown(opts, unknown)
        return kind

    def check_unknown(self, opts: Opts, names: list[str]) -> None:
        if names and not self.lenient:
            kind = opts.get("type") or ""
            known = ", ".join(item.name for item in self.schema.options_of(kind))
            raise RefusedLine(
                f"{opts.option}: {kind} has no option {names[0]!r}",
                hint=self.gone(opts, names[0])
                or taken_by(kind, names[0])
                or (f"it has {known}" if known else "it has none"),
            )
        self.network.unknown += [f"{opts.option}: {name}" for name in names]

    @staticmethod
    def gone(opts: Opts, name: str) -> str:
        """The replacement of an option that no kind has any more, empty for an option that exists."""
        if name not in GONE or opts.data is not None:
            return ""
        without = changed(opts.option, {}, (name,)).value
        return f"{GONE[name]}; without it: -{opts.option.name} {without}"

    def make_netdev(self, opts: Opts, kind: str, form: str, peer: Client | None) -> Client:
        """`net_client_init1` for a back end."""
        known = kind in self.compiled or kind in self.elsewhere
        if not known or kind in ("nic", "none"):
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
        queues = 1 if kind in self.elsewhere else check_backend(kind, given)
        client = Client(name, "netdev", kind, form, opts, values, queues, generated=name.startswith("#"))
        if kind == "hubport":
            client.kind = "port"
            self.hubport(client, given)
        self.connect(client, peer)
        self.network.clients.append(client)
        return client

    def check_built(self, opts: Opts, kind: str) -> None:
        """Raises RefusedLine for a back end that the program was built without."""
        if kind in self.left_out:
            raise RefusedLine(
                f"{opts.option}: the network backend {kind} is not compiled into this program",
                hint=_INSTEAD.get(kind, "") or f"it has {', '.join(sorted(self.compiled - {'nic', 'none'}))}",
            )

    def values(self, opts: Opts, kind: str) -> dict[str, Any]:
        """Option -> value: the last one of a scalar, all of a list."""
        if opts.data is not None:
            return {key: _plain(value) for key, value in opts.data.items() if key not in ("id", "type")}
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
        """An id in the form of `id_generate`, without its two random digits."""
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
        mac = self.macs.checked(working, working.take("mac"))
        peer = self.make_netdev(working, self.visit(working), "-nic", None)
        self.network.requested.append(Requested(model, mac, peer, opts, "-nic"))

    def net(self, opts: Opts, form: str) -> None:
        """`net_init_client`: a port on hub 0, and the client behind it."""
        working = Opts(opts.option, opts.id or self.name(), list(opts.pairs), flags=opts.flags)
        kind = self.visit(working)
        if kind == "none":
            return
        if kind == "hubport":
            raise RefusedLine(f"{opts.option}: a hub's port is made with -netdev or -nic")
        if kind != "nic" and kind not in self.compiled and kind not in self.elsewhere:
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
        mac = self.macs.checked(working, working.get("macaddr"))
        if (number(working.get("vectors") or "0") or 0) > 0x7FFFFFF:
            raise RefusedLine(f"{opts.option}: vectors= is too large")
        self.network.requested.append(Requested(working.get("model"), mac, port, opts, form))


def _plain(value: Any) -> Any:
    """A list of the schema's String, {"str": TEXT}, as a list of texts, like QemuOpts."""
    if isinstance(value, list):
        return [item["str"] if isinstance(item, dict) and set(item) == {"str"} else item for item in value]
    return value
