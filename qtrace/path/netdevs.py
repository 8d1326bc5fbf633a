"""The `NetClientInfo` tables and files that carry a netdev's frames, or why no code of QEMU does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from qtrace.errors import NoPath
from qtrace.index.platforms import other_platform
from qtrace.path.catalogue import backend_name
from qtrace.path.core import core_of
from qtrace.store.index import ClientTable, Index

__all__ = ["Netdev", "find_netdev", "netdev_names"]

# Netdevs that have a table, although their frames do not pass through it (net/hub.c, net/vhost-user.c,
# net/vhost-vdpa.c).
_ELSEWHERE = {
    "hubport": "a hub hands each frame to all its other ports: walk the netdev that is at one of them",
    "vhost-user": "another process takes the frames from guest memory and puts them there; QEMU sets up the "
    "queues only",
    "vhost-vdpa": "a vDPA device takes the frames from guest memory and puts them there; QEMU sets up the "
    "queues only",
}
# A form of a netdev with its own client and handler -> the netdev. net/socket.c: `listen=` and `connect=`
# make a stream, from which frames are assembled; `udp=` and `mcast=` carry datagrams.
_STREAMS = {"socket-stream": "socket"}
_DEEPEST = 6  # calls from a netdev's init function to the one that makes its client


@dataclass(frozen=True, slots=True)
class Netdev:
    """`tables` have a receive callback. `runs` are all functions that the netdev can run, starting from its
    init function and its tables. `files`: the files of these functions that belong to back ends; several
    netdevs may share one. `stream`: of a netdev that also carries datagrams, only the part that carries a
    stream."""

    name: str
    tables: tuple[ClientTable, ...]
    runs: frozenset[int]
    files: tuple[str, ...]
    stream: bool = False


def netdev_names(index: Index) -> list[str]:
    """The netdevs that `walk` accepts."""
    return [name for row in index.backends() if (name := backend_name(row[0])) != "nic"]


def find_netdev(index: Index, name: str) -> Netdev:
    """The netdev with that name; `socket-stream` is `socket` with `listen=` or `connect=`.

    Raises NoPath, with the reason, if QEMU's code carries no frames for it.
    """
    if name in _STREAMS:
        whole = find_netdev(index, _STREAMS[name])
        made = tuple(table for table in whole.tables if "dgram" not in table.variable)
        return replace(whole, name=name, tables=made or whole.tables, stream=True)
    rows = {backend_name(row[0]): row for row in index.backends()}
    if name not in netdev_names(index):
        known = ", ".join(netdev_names(index))
        raise NoPath(f"QEMU {index.meta['qemu']} has no netdev {name!r}", hint=f"known: {known}")
    if name in _ELSEWHERE:
        raise NoPath(f"no frame passes through QEMU's netdev {name!r}: {_ELSEWHERE[name]}")
    driver, guard, _, init, *_ = rows[name]
    tables = [table for table in index.client_tables() if not other_platform(table.file)]
    own = [table for table in tables if table.driver == driver] or _made_by(index, init, tables)
    own = [table for table in own if {"receive", "receive_iov"} & table.callbacks.keys()]
    if not own:
        where = f": it needs {guard}, which a build for Linux does not have" if guard else ""
        raise NoPath(f"netdev {name!r} has no NetClientInfo with a receive callback in this index{where}")
    callbacks = [function.id for table in own for function, _ in table.callbacks.values()]
    runs = index.runnable([*callbacks, *([init] if init is not None else [])])
    folders = {str(Path(table.file).parent) for table in own}
    shared = core_of(index).net | {table.file for table in tables if table not in own}
    files = {
        file
        for file in index.files_with(runs)
        if str(Path(file).parent) in folders and file not in shared and not other_platform(file)
    }
    return Netdev(name, tuple(own), runs, tuple(sorted(files | {table.file for table in own})))


def _made_by(index: Index, init: int | None, tables: list[ClientTable]) -> list[ClientTable]:
    """The tables of the clients that an init function makes: `bridge` makes a tap (net/tap.c)."""
    makers = index.registrars("NetClientState.info")
    seen: set[int] = set()
    todo = [init] if init is not None else []
    for _ in range(_DEEPEST):
        if found := [table for table in tables if any((table.variable, at) in makers for at in todo)]:
            return found
        seen |= set(todo)
        edges = [edge for at in todo for edge in index.callees(at) if edge.kind == "direct"]
        todo = [edge.callee for edge in edges if edge.callee not in seen]
    return []
