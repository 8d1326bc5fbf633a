"""Tells the BPF programs the owner of each object, descriptor and thread of QEMU."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from qtrace.errors import TargetError
from qtrace.model import Direction
from qtrace.probes.common import DIRECTIONS
from qtrace.probes.dma import RING
from qtrace.probes.interrupts import VECTOR, VECTOR_USE, Use
from qtrace.trace.qemu.net_clients import NetClient
from qtrace.trace.qemu.owners import Owner, Owners

__all__ = ["Attribution", "Clients"]

# libslirp opens a socket for each connection of its guest; a channel's descriptor is in no field of the
# client.
_WITH_SOCKETS = ("user", "vde")
_USES = {Direction.TX: Use.SENT, Direction.RX: Use.RECEIVED}
# Reads the process's present network clients. Raises TargetError if they cannot be read.
Clients = Callable[[], list[NetClient]]


class Attribution:
    """The owners of one process, and their maps. `unread` is the reason why there are none, or empty."""

    def __init__(self, module: Any, clients: Clients | None) -> None:
        self._module = module
        self._clients = clients
        self._written: dict[str, dict[int, int]] = {}
        self.owners = Owners()
        self.unread = ""
        self._rings: dict[int, tuple[int, int, int, int, tuple[int, ...]]] = {}

    @property
    def numbers(self) -> list[int]:
        """The numbers of all owners so far, and 0."""
        return list(range(self.owners.given + 1))

    @property
    def descriptors(self) -> set[int]:
        """The network clients' own descriptors."""
        return {descriptor for owner in self.owners for descriptor in owner.descriptors}

    @property
    def sockets(self) -> int:
        """The only owner with sockets besides its client's own descriptor; 0 if none or several have some."""
        having = [owner.number for owner in self.owners if owner.driver in _WITH_SOCKETS]
        return having[0] if len(having) == 1 else 0

    def update(self, workers: Sequence[int]) -> None:
        """Read the clients again and write changes; `workers` are vhost's threads, oldest first."""
        if self._clients is not None:
            try:
                self.owners.update(self._clients())
                self.unread = ""
            except TargetError as exc:
                # QEMU may have changed the list during the read: then the previous state stays.
                self.unread = "" if len(self.owners) else str(exc)
        self._write("owners", {item: o.number for o in self.owners for item in o.objects}, ctypes.c_uint64)
        self._write("fd_owner", {fd: o.number for o in self.owners for fd in o.descriptors}, ctypes.c_uint32)
        self._write("vhost_workers", self._workers(workers), ctypes.c_uint32)
        self._write("vectors", self._vectors(), ctypes.c_uint32)
        self._write_rings()

    def _vectors(self) -> dict[int, int]:
        """VECTOR_KEY -> VECTOR_USE for the vectors of every card."""
        found: dict[int, int] = {}
        for first, queues in self._cards():
            for vector in first.clients[0].vectors:
                if vector.direction is None:
                    use = Use.SHARED if vector.queue >= 0 else Use.OTHER
                else:
                    use = _USES[vector.direction]
                owner = queues.get(vector.queue, first.number)
                found[VECTOR.pack(first.number, vector.number)] = VECTOR_USE.pack(owner, use)
        return found

    def _write_rings(self) -> None:
        wanted: dict[int, tuple[int, int, int, int, tuple[int, ...]]] = {}
        for first, queues in self._cards():
            rings = first.clients[0].rings[: RING.fields["ring"] - 1]
            for number, ring in enumerate(rings):
                owner = queues.get(ring.queue, first.number)
                direction = DIRECTIONS.index(ring.direction)
                place = (ring.first, ring.end, owner, direction, (*ring.at, 0, 0)[:2])
                wanted[RING.pack(first.number, number)] = place
        table = self._module[b"dma_rings"]
        for index in self._rings.keys() | wanted.keys():
            if wanted.get(index) != self._rings.get(index):
                *numbers, at = wanted.get(index, (0, 0, 0, 0, (0, 0)))
                table[ctypes.c_int(index)] = table.Leaf(*numbers, (ctypes.c_uint64 * 2)(*at))
        self._rings = wanted

    def _cards(self) -> Iterator[tuple[Owner, dict[int, int]]]:
        """The owner of each NIC's first queue, and the owner's number for each of its queues."""
        queues: dict[str, dict[int, int]] = {}
        for owner in self.owners:
            if owner.card:
                queues.setdefault(owner.card, {})[owner.queue] = owner.number
        for owner in self.owners:
            if owner.card and owner.queue == 0:
                yield owner, queues[owner.card]

    def _workers(self, threads: Sequence[int]) -> dict[int, int]:
        """Thread -> owner. A worker is made with its queue, so both have one order; 0 if the numbers
        differ."""
        served = [owner.number for owner in self.owners if owner.vhost]
        if len(served) != len(threads):
            return dict.fromkeys(threads, 0)
        return dict(zip(threads, served, strict=True))

    def _write(self, name: str, wanted: Mapping[int, int], key: Callable[[int], Any]) -> None:
        table = self._module[name.encode()]
        before = self._written.get(name, {})
        for item in before.keys() - wanted.keys():
            # The BPF program itself removes a closed descriptor.
            if (number := key(item)) in table:
                del table[number]
        for item, owner in wanted.items():
            if before.get(item) != owner:
                table[key(item)] = table.Leaf(owner)
        self._written[name] = dict(wanted)
