"""The NIC's half of a path: from the guest's entry to the send, and from a receive callback into the guest.

It is the same on every netdev, so it is found once for each NIC of an index.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache

from qtrace.path import stage_functions as stages
from qtrace.path.catalogue import core_files, find_nic, nic_runs
from qtrace.path.core import core_of
from qtrace.path.route import Hop, Router, Trail
from qtrace.path.steps import named
from qtrace.store.index import Edge, FunctionRow, Index

__all__ = ["NicSide", "nic_side"]

# Callbacks in a NIC's own files through which no guest access enters.
_NOT_ENTRIES = ("TypeInfo.", "DeviceClass.", "NetClientInfo.", "VMStateDescription.", "QEMUTimer.", "QEMUBH.")
_SET_UP = (".init", ".initialise", ".realize", ".reset", ".handle_reset", ".exit")

Allowed = Callable[[Edge], bool]


def nic_side(index: Index, name: str) -> NicSide:
    """The same `NicSide` for all walks of a NIC or one of its types, so that later walks use its answers.

    Raises NoPath if this QEMU has no such NIC.
    """
    return _nic_side(index, find_nic(index, name).name)


@lru_cache(maxsize=128)  # more than the NICs of a release
def _nic_side(index: Index, name: str) -> NicSide:
    return NicSide(index, name)


class NicSide:
    """The NIC's side of all its paths."""

    def __init__(self, index: Index, name: str) -> None:
        nic = find_nic(index, name)
        self.index = index
        self.tables = nic.tables
        self.core = core_of(index)
        self.runs = nic_runs(index, nic)
        self.files = core_files(index, nic, self.runs)
        self.router = Router(index, frozenset(self.files) | self.core.net | self.core.bus)
        self._side_trails: dict[tuple[object, ...], Trail | None] = {}
        self._into: dict[int, Trail] = {}

    @cached_property
    def is_virtio(self) -> bool:
        """Whether the guest's doorbell is that of a virtio queue."""
        kicks = {row.id for row in self.index.function(stages.VIRTIO_KICK)}
        return not kicks.isdisjoint(self.runs)

    @cached_property
    def from_guest(self) -> Trail | None:
        """From the guest's entry into the NIC to the function with which the NIC sends a frame."""
        for starts in (self.doorbells, self.entries):
            if trail := self.router.route(starts, named(stages.SEND), self.forward):
                return trail
        return None

    @cached_property
    def spines(self) -> list[Trail]:
        """From each entry by which the guest reaches the NIC to the function with which the NIC sends a
        frame."""
        doorbells = list(self.doorbells)
        if any(self.router.function(at).name == stages.VIRTIO_KICK for at in doorbells):
            doorbells += [row.id for row in self.index.function(stages.VIRTIO_DOORBELL)]
        for starts in (doorbells, self.entries):
            trails = [self.router.route([at], named(stages.SEND), self.forward) for at in starts]
            if found := [trail for trail in trails if trail]:
                return found
        return []

    @cached_property
    def sends(self) -> list[tuple[FunctionRow, Trail]]:
        """Each function with which the NIC sends a frame, with the route from one of these entries."""
        return self.router.each(stages.SEND, [spine[0] for spine in self.spines], self.forward)

    @cached_property
    def doorbells(self) -> list[int]:
        """The functions entered by the guest's write: the virtio queue's notifier, or register writes of the
        NIC."""
        if kick := [row.id for row in self.index.function(stages.VIRTIO_KICK) if row.id in self.runs]:
            return kick
        return [
            int(value)
            for _, _, field, what, value, file, _ in self.index.tables(
                "MemoryRegionOps", ("write", "write_with_attrs")
            )
            if what == "function" and file in self.files and int(value) in self.runs
        ]

    @cached_property
    def entries(self) -> list[int]:
        """Every other callback of the NIC: a USB transfer, a hypercall, a DMA engine's push, an event."""
        found = [
            int(value)
            for field, what, value, _, _ in self.index.registrations_in(self.files)
            if what == "function"
            and value.isdigit()
            and int(value) in self.runs
            and not field.startswith(_NOT_ENTRIES)
            and not field.endswith(_SET_UP)
        ]
        return list(dict.fromkeys(found))

    def into_guest(self, receive: FunctionRow) -> Trail:
        """From the NIC's receive callback into guest memory; `receive` alone where no way is known."""
        if receive.id not in self._into:
            self._into[receive.id] = [Hop(None, receive)]
            for names in (stages.ENQUEUE[:2], stages.ENQUEUE):
                if found := self.router.route([receive.id], named(names), self.within_nic):
                    self._into[receive.id] = found
                    break
        return self._into[receive.id]

    def interrupt(self, spine: Trail) -> Trail:
        """The side step that notifies the guest."""
        return self.side_step(spine, stages.INTERRUPT, self.within_bus, limit=16)

    def side_step(
        self,
        spine: Trail,
        names: tuple[str, ...],
        allowed: Allowed,
        limit: int = 6,
        behind: bool = True,
    ) -> Trail:
        """From a function on `spine` to the first of `names` with a route; empty if none has one."""
        for name in names:
            if found := self.side_trail(spine, name, allowed, limit, behind):
                return found[1:]
        return []

    def side_trail(
        self, spine: Trail, name: str, allowed: Allowed, limit: int, behind: bool = True
    ) -> Trail | None:
        """The same for one name, from the function on `spine` that is nearest to its end and has a route to
        it.

        With `behind`, calls after the one that carries the frame on are preferred: calls before it belong to
        other branches (`pcnet_stop` in `pcnet_csr_writew`). A NIC that loops a frame back to itself receives
        it in the middle of sending, which is the path of another frame, so functions that only receiving runs
        are left out unless `spine` starts from a receive callback.
        """
        key = (tuple(spine), name, allowed, limit, behind)
        if key not in self._side_trails:
            self._side_trails[key] = self._side_trail(spine, name, allowed, limit, behind)
        return self._side_trails[key]

    def _side_trail(
        self, spine: Trail, name: str, allowed: Allowed, limit: int, behind: bool
    ) -> Trail | None:
        body = spine[:-1] or spine
        aside = self.receiving - {hop.function.id for hop in body}
        if any(hop.function.id in self.receivers for hop in body):
            aside = frozenset()
        lines = [hop.edge.line if hop.edge else 0 for hop in spine[1:]] or [0]

        def search(hop: Hop, line: int) -> Trail | None:
            def own(edge: Edge) -> bool:
                before = edge.caller == hop.function.id and edge.line <= line
                return edge.callee not in aside and not before and allowed(edge)

            return self.router.route([hop], named({name}), own, limit)

        hops = list(zip(body, lines, strict=True))[::-1]
        for only_behind in (True, False) if behind else (False,):
            for hop, line in hops:
                if found := search(hop, line * only_behind):
                    return found
        return None

    @cached_property
    def receivers(self) -> frozenset[int]:
        """The NIC's callbacks that receive a frame."""
        fields = ("receive_iov", "receive", "receive_raw")
        callbacks = [table.callbacks for table in self.tables]
        return frozenset(known[field][0].id for known in callbacks for field in fields if field in known)

    @cached_property
    def receiving(self) -> frozenset[int]:
        """The functions that carry a frame from these callbacks into guest memory and lead to an interrupt.
        Their last functions, which write to memory, are excluded: sending uses them too."""
        trails = [self.router.route([at], named(stages.ENQUEUE), self.within_nic) for at in self.receivers]
        carry = {hop.function.id for trail in trails if trail for hop in trail[:-1]}
        tell = named(stages.INTERRUPT)
        telling = {at for at in carry if self.router.route([at], tell, self.within_bus, limit=16)}
        return self.receivers | telling

    def forward(self, edge: Edge) -> bool:
        """Whether an edge is on the NIC's side: its own functions, up to the one that sends a frame."""
        target = self.router.function(edge.callee)
        return target.name in stages.SEND or self._own(target)

    def within_nic(self, edge: Edge) -> bool:
        """As `forward`, up to guest memory."""
        target = self.router.function(edge.callee)
        known = {*stages.DEQUEUE, *stages.ENQUEUE, *stages.GUEST_WRITE}
        return target.name in known or self._own(target)

    def within_bus(self, edge: Edge) -> bool:
        """As `forward`, up to the interrupt."""
        target = self.router.function(edge.callee)
        return target.name in stages.INTERRUPTS or self._own(target)

    def beside(self, edge: Edge) -> bool:
        """Whether an edge stays within the NIC's functions and crosses no other boundary of this kind."""
        caller, target = self.router.function(edge.caller), self.router.function(edge.callee)
        if caller.name in stages.INTERRUPTS:
            return False
        if target.name in stages.FOR_LATER and target.name != stages.GUEST_NOTIFIER:
            return False
        if target.name == stages.GUEST_NOTIFIER:  # a queue also has a notifier for the doorbell
            return caller.name not in (stages.VIRTIO_DOORBELL, stages.VIRTIO_KICK)
        return self.within_nic(edge) or self.within_bus(edge)

    def _own(self, target: FunctionRow) -> bool:
        return target.id in self.runs and target.file not in self.core.net
