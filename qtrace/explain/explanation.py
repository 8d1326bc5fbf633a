"""The whole explanation of a line's network, as JSON-ready data: `qtrace explain`."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from qtrace.errors import RefusedLine
from qtrace.explain.advice import advice
from qtrace.explain.clients import Client, Filter, Network
from qtrace.explain.collect import collect
from qtrace.explain.cost import cost
from qtrace.explain.dialect import find_dialect
from qtrace.explain.host import Host
from qtrace.explain.machine_type import Machine, find_machine
from qtrace.explain.manual import read_manual
from qtrace.explain.meaning import filter_rows, option_rows
from qtrace.explain.models import Models
from qtrace.explain.network import build
from qtrace.explain.pasted import Pasted
from qtrace.explain.reach_claims import reach_rows
from qtrace.explain.rewrite import rewrites
from qtrace.explain.rights import privilege
from qtrace.explain.rule import Seen
from qtrace.explain.schema import Schema, read_schema
from qtrace.explain.together import together
from qtrace.explain.values import truth
from qtrace.explain.words import Line, read_line
from qtrace.index.platforms import other_platform
from qtrace.path.catalogue import backend_name
from qtrace.store.index import Index

__all__ = ["Reader", "carried_by_kernel", "init_functions", "vhost_asked"]

# Remarks on an unknown machine, by what is known of its own NIC.
_NOTHING = (
    "nothing is known here: which NIC it makes of -nic, of -net nic and by default, its buses and what it "
    "refuses"
)
_OWN = "no more is known here than the NIC that it makes of -nic, of -net nic and by default: "
_NONE = "no more is known here than that it makes no NIC of -nic, of -net nic or by default"
_NO_WALK = ("hubport", "vhost-user", "vhost-vdpa", "netmap")


class Reader:
    """Reads lines as the QEMU of one index does, on this host unless another is given. `left_out`: back ends
    that the program which is meant was built without."""

    def __init__(self, index: Index, host: Host | None = None, left_out: Collection[str] = ()) -> None:
        self.index = index
        self.host = host or Host()
        self.root = Path(index.meta["root"])
        self.schema: Schema = read_schema(self.root)
        self.manual = read_manual(self.root)
        self.models = Models(index)
        self.left_out = frozenset(left_out)
        self.compiled = {*init_functions(index)} - self.left_out

    def network(
        self,
        argv: Sequence[str],
        config: Collection[str] = (),
        *,
        lenient: bool = False,
        strict: bool = False,
        writer: str = "",
    ) -> tuple[Line, Machine, Network]:
        """The network that QEMU would make of the line. Raises RefusedLine if QEMU would refuse it.

        A line that a vendor's program wrote is read leniently, unless `strict`; `writer`: the dialect whose
        log shows it.
        """
        dialect = None if strict else find_dialect(argv, writer)
        lenient = lenient or dialect is not None
        plain, flags = dialect.plain(argv) if dialect else (argv, [])
        line = read_line(
            plain,
            self.manual.options,
            lenient=lenient,
            removed=self.manual.removed,
            vendors=dialect.options if dialect else {},
        )
        try:
            setup = collect(line, config)
            ordinary = dialect.ordinary if dialect else str
            machine = find_machine(line, self.root, lenient=lenient, ordinary=ordinary)
            theirs = dialect.netdevs if dialect else frozenset()
            network = build(
                setup, machine, self.schema, self.models, self.compiled, lenient, theirs, self.left_out
            )
        except RefusedLine as exc:
            raise RefusedLine(str(exc), hint="; ".join(filter(None, (exc.hint, *line.remarks)))) from exc
        network.remarks += line.remarks
        if not machine.known:
            own = _OWN + machine.default_nic if machine.default_nic else _NOTHING
            name = machine.name or "that is the default"
            known = own if machine.onboard else _NONE
            network.remarks.append(f"of the machine {name} of {line.target} {known}")
        network.unknown += [str(option) for option in line.unknown]
        if dialect is not None:
            network.dialect = dialect.vendor
            network.vendors = [*flags, *(item for item in network.unknown if dialect.owns(item))]
            network.unknown = [item for item in network.unknown if not dialect.owns(item)]
        return line, machine, network

    def explain(
        self,
        argv: Sequence[str],
        config: Collection[str] = (),
        *,
        lenient: bool = False,
        strict: bool = False,
        opened: Mapping[int, str] | None = None,
        writer: str = "",
    ) -> dict[str, Any]:
        """The whole explanation. `config`: files that -readconfig may read; `lenient`: unknown options are no
        reason to refuse, because the process runs already; `strict`: a vendor's own options are refused, too;
        `opened`: descriptor -> the path that it was opened on; `writer`: the dialect whose log shows it.
        Raises RefusedLine.
        """

        def seen(words: Sequence[str]) -> Seen:
            line, machine, network = self.network(
                words, config, lenient=lenient, strict=strict, writer=writer
            )
            return Seen(
                *(line, network, machine, self.schema, self.manual, self.root, self.host, opened or {})
            )

        said = seen(argv)
        line, machine, network = said.line, said.machine, said.network
        return {
            "qemu": self.index.meta["qemu"],
            "line": shlex.join(argv),
            "target": line.target,
            "machine": machine.name,
            "machine_known": machine.known,
            "dialect": network.dialect or None,
            "nics": [self._nic(client, network) for client in network.nics],
            "netdevs": [self._netdev(client) for client in network.netdevs],
            "filters": [self._filter(item) for item in network.filters],
            "hubs": [
                {
                    "id": number,
                    "ports": [self._port(port) for port in ports],
                    "reach": reach_rows(ports[0], self.root),
                }
                for number, ports in network.hubs.items()
            ],
            "warnings": advice(said, seen),
            "rewrites": rewrites(line, network, machine, self._again),
            "unknown": list(network.unknown),
            "vendor": list(network.vendors),
            "other_devices": [str(opts.option) for opts in network.others],
        }

    def together(
        self,
        one: Pasted,
        other: Pasted,
        config: Collection[str] = (),
        *,
        lenient: bool = False,
        strict: bool = False,
    ) -> list[dict[str, str]]:
        """Findings about two lines on one host, beyond those of each line: see the module `together`. Raises
        RefusedLine."""
        first, second = (
            self.network(pasted.words, config, lenient=lenient, strict=strict, writer=pasted.writer)[2]
            for pasted in (one, other)
        )
        return together(first, second)

    @staticmethod
    def _cost(nic: Client) -> dict[str, Any] | None:
        other = nic.peer
        if other is None or other.kind != "netdev":
            return None
        return cost(nic.type, other.type, carried_by_kernel(nic, other))

    def _filter(self, item: Filter) -> dict[str, Any]:
        return {
            "name": item.name,
            "type": item.type,
            "from": str(item.option),
            "netdev": item.netdev.name if item.netdev else None,
            "options": filter_rows(item, self.schema),
        }

    def _again(self, argv: Sequence[str]) -> Network:
        return self.network(argv)[2]

    def _client(self, client: Client) -> dict[str, Any]:
        peer = client.peer
        return {
            "name": client.name,
            "generated": client.generated,
            "type": client.type,
            "from": str(client.option) if client.option else None,
            "form": client.form or "default",
            "queues": client.queues,
            "peer": peer.name if peer else None,
            "hub": peer.hub if peer and peer.kind == "port" else None,
            "options": option_rows(client, self.schema, self.manual, self.models),
        }

    def _nic(self, client: Client, network: Network) -> dict[str, Any]:
        model = self.models.by_type.get(client.type)
        carried = [
            {"function": function.name, "file": function.file, "line": function.line}
            for table in (model.nic.tables if model else ())
            for field in ("receive_iov", "receive")
            if field in table.callbacks
            for function, _ in [table.callbacks[field]]
        ]
        return {
            **self._client(client),
            "mac": client.mac,
            "bus": client.bus or None,
            "address": client.address or None,
            "files": list(model.nic.files) if model else [],
            "created_by": self._function("net_init_nic") if client.form in ("-net", "") else None,
            "carried_by": carried[:1],
            "walk": self._walks(client, network),
            "cost": self._cost(client),
        }

    def _netdev(self, client: Client) -> dict[str, Any]:
        driver = f"NET_CLIENT_DRIVER_{client.type.upper().replace('-', '_')}"
        init = next(
            (name for kind, _, name, number, _, _ in self.index.backends() if kind == driver and number), ""
        )
        carried = [
            {"function": function.name, "file": function.file, "line": function.line}
            for table in self.index.client_tables()
            if table.driver == driver and not other_platform(table.file)
            for field in ("receive_iov", "receive")
            if field in table.callbacks
            for function, _ in [table.callbacks[field]]
        ]
        return {
            **self._client(client),
            "created_by": self._function(init) if init else None,
            "carried_by": carried[:1],
            "walk": [],
            "privilege": privilege(client),
            "reach": reach_rows(client, self.root),
        }

    def _walks(self, nic: Client, network: Network) -> list[str]:
        """The walk commands for every back end that the NIC reaches, through a hub or not."""
        known = nic.type in self.models.by_type
        netdevs = [nic.peer] if nic.peer and nic.peer.kind == "netdev" else []
        if nic.peer and nic.peer.hub is not None:
            ports = network.hubs[nic.peer.hub]
            netdevs = [port.peer for port in ports if port.peer and port.peer.kind == "netdev"]
        return [
            f"qtrace walk {nic.type} {name} --direction {way}"
            for other in netdevs
            if known and other.type not in _NO_WALK
            for name in [f"{other.type},vhost=on" if carried_by_kernel(nic, other) else other.type]
            for way in ("tx", "rx")
        ]

    def _function(self, name: str) -> dict[str, Any] | None:
        rows = self.index.function(name)
        return {"function": name, "file": rows[0].file, "line": rows[0].line} if rows else None

    @staticmethod
    def _port(port: Client) -> dict[str, Any]:
        return {"name": port.name, "peer": port.peer.name if port.peer else None}


def init_functions(index: Index) -> dict[str, str]:
    """Back end -> its init function, of those that the indexed QEMU has for Linux."""
    return {
        backend_name(driver): init for driver, _, init, number, _, _ in index.backends() if number is not None
    }


def carried_by_kernel(nic: Client, other: Client) -> bool:
    """Whether vhost-net carries the frames of this pair."""
    return nic.type.startswith("virtio-net") and vhost_asked(other)


def vhost_asked(other: Client) -> bool:
    """Whether a back end is to have vhost-net (net/tap.c: net_init_tap_one)."""

    def on(name: str) -> bool:
        value = other.values.get(name)
        return value is True or (isinstance(value, str) and truth(value) is True)

    if other.type != "tap":
        return False
    if "vhost" in other.values:
        return on("vhost")
    return "vhostfd" in other.values or "vhostfds" in other.values or on("vhostforce")
