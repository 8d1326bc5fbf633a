"""Telling the programs in the kernel which of QEMU's objects, descriptors and threads belong to whom."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qtrace.errors import TargetError
from qtrace.trace.qemu.net_clients import NetClient
from qtrace.trace.qemu.owners import Owners

__all__ = ["Attribution", "Clients"]

# libslirp opens one for each connection of its guest's, a channel's is in no field of the client's.
_WITH_SOCKETS = ("user", "vde")
# The process's network clients as they are now. Raises TargetError where they cannot be told.
Clients = Callable[[], list[NetClient]]


class Attribution:
    """The owners of one process, and the maps that hold them. `unread` is why there are none, or empty."""

    def __init__(self, module: Any, clients: Clients | None) -> None:
        self._module = module
        self._clients = clients
        self._written: dict[str, dict[int, int]] = {}
        self.owners = Owners()
        self.unread = ""

    @property
    def numbers(self) -> list[int]:
        """Of every owner that ever was, and 0."""
        return list(range(self.owners.given + 1))

    @property
    def descriptors(self) -> set[int]:
        """The network clients' own."""
        return {descriptor for owner in self.owners for descriptor in owner.descriptors}

    @property
    def sockets(self) -> int:
        """The one owner with sockets that are no client's own descriptor; 0 where none or several have."""
        having = [owner.number for owner in self.owners if owner.driver in _WITH_SOCKETS]
        return having[0] if len(having) == 1 else 0

    def update(self, workers: Sequence[int]) -> None:
        """Read the clients again and write what has changed; `workers` are vhost's threads, oldest first."""
        if self._clients is not None:
            try:
                self.owners.update(self._clients())
                self.unread = ""
            except TargetError as exc:
                # The list may have been changed under our hands: what was known before stays.
                self.unread = "" if len(self.owners) else str(exc)
        self._write("owners", {item: o.number for o in self.owners for item in o.objects}, ctypes.c_uint64)
        self._write("fd_owner", {fd: o.number for o in self.owners for fd in o.descriptors}, ctypes.c_uint32)
        self._write("vhost_workers", self._workers(workers), ctypes.c_uint32)

    def _workers(self, threads: Sequence[int]) -> dict[int, int]:
        """Thread -> owner. A worker is made with its queue, so both are in one order; 0 where they differ."""
        served = [owner.number for owner in self.owners if owner.vhost]
        if len(served) != len(threads):
            return dict.fromkeys(threads, 0)
        return dict(zip(threads, served, strict=True))

    def _write(self, name: str, wanted: Mapping[int, int], key: Callable[[int], Any]) -> None:
        table = self._module[name.encode()]
        before = self._written.get(name, {})
        for item in before.keys() - wanted.keys():
            # A closed descriptor is taken out by the program itself.
            if (number := key(item)) in table:
                del table[number]
        for item, owner in wanted.items():
            if before.get(item) != owner:
                table[key(item)] = table.Leaf(owner)
        self._written[name] = dict(wanted)
