"""The netdev's half of a path: from its receive callback to the host, and from the host to the send."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache

from qtrace.model import Boundary, Role
from qtrace.path import stage_functions as stages
from qtrace.path.core import core_of
from qtrace.path.library_side import Beyond
from qtrace.path.netdevs import find_netdev
from qtrace.path.route import Hop, Router, Trail
from qtrace.path.steps import named
from qtrace.store.index import Edge, FunctionRow, Index

__all__ = ["HostSide", "host_side"]

# Fields that hold the functions that the main loop calls for a descriptor (util/aio-posix.c,
# util/main-loop.c), or that GLib's loop calls (io/channel-watch.c).
_LOOP_FIELDS = ("AioHandler.io_read", "IOHandlerRecord.fd_read", "GSource.callback", "Notifier.notify")

Pieces = list[tuple[Trail, Role | None]]


Written = tuple[Trail, Trail, Boundary]
Ends = list[tuple[FunctionRow, Trail]]


@lru_cache(maxsize=128)  # more than the netdevs of a release
def host_side(index: Index, netdev: str) -> HostSide:
    """The same `HostSide` for all walks of a netdev, so that later walks use its answers.

    Raises NoPath, with the reason, if QEMU's code carries no frames for it.
    """
    return HostSide(index, netdev)


class HostSide:
    """The host side of one netdev's paths. It is the same with every NIC."""

    def __init__(self, index: Index, netdev: str) -> None:
        self.index = index
        self.netdev = find_netdev(index, netdev)
        core = core_of(index)
        self.router = Router(index, frozenset(self.netdev.files) | core.net | core.bus)
        self._written: dict[int, Written | None] = {}
        self._writes: dict[tuple[int, ...], Ends] = {}

    def write(self, receive: FunctionRow) -> Written | None:
        """The trail on which a frame passed to `receive` leaves QEMU, and the trail in a library behind it.

        The first entry of the first trail is `receive`.
        """
        if receive.id not in self._written:
            self._written[receive.id] = self._write(receive)
        return self._written[receive.id]

    def _write(self, receive: FunctionRow) -> Written | None:
        for kinds in (stages.HOST_WRITE, stages.HOST_RING):
            if trail := self.router.route([receive.id], named(kinds), self.within):
                inside, boundary = self._on(trail[-1].function, kinds, stages.INSIDE_WRITE)
                return trail, inside, boundary
        return None

    @cached_property
    def read(self) -> tuple[Pieces, Boundary] | None:
        """The trail on which a frame enters: an fd handler that reads and sends, or a library's callback."""
        senders = named(stages.SEND)
        for kinds in (stages.HOST_READ, stages.HOST_RING):
            best: tuple[Trail, Trail] | None = None
            for start in self.readers:
                send = self.router.route([start], senders, self.within)
                read = self.router.route([start], named(kinds), self.within)
                if send and read and (best is None or len(send) + len(read) < len(best[0]) + len(best[1])):
                    best = (send, read)
            if best:
                send, read = best
                parts: Pieces = [(self.entered(send[0].function), None), (read[1:], Role.HOST)]
                inside, boundary = self._on(read[-1].function, kinds, stages.INSIDE_READ)
                return [*parts, (inside, None), (send[1:], Role.SEND)], boundary
        return self._called_back()

    @cached_property
    def readers(self) -> list[Hop]:
        """The functions that the main loop calls for the netdev's descriptors and that send frames."""
        found = []
        for start in self.handlers(_LOOP_FIELDS[:3]):
            send = self.router.route([start], named(stages.SEND), self.within)
            if send and (not self.netdev.stream or _reassembles(send)):
                found.append(send[0])
        return found

    @cached_property
    def senders(self) -> list[Hop]:
        """The functions in which a frame for the NIC enters: readers, or else callbacks from a library."""
        if self.readers:
            return self.readers
        sends = named(stages.SEND)
        trails = (self.router.route([value], sends, self.within) for _, value, *_ in self._callbacks())
        return [trail[0] for trail in trails if trail]

    @cached_property
    def sends(self) -> Ends:
        """Each function with which the netdev sends a frame to the NIC, with the route to it."""
        return self.router.each(stages.SEND, self.senders, self.within)

    @cached_property
    def reads(self) -> Ends:
        """Each function with which a frame enters QEMU, with the route to it: a call of the host's, or the
        callback from a library."""
        for names in (stages.HOST_READ, stages.HOST_RING):
            if found := self.router.each(names, self.readers, self.within):
                return found
        return [(hop.function, [hop]) for hop in self.senders]

    def writes(self, callbacks: tuple[int, ...]) -> Ends:
        """Each function with which a frame passed to one of these callbacks leaves QEMU, with the route."""
        if callbacks not in self._writes:
            self._writes[callbacks] = []
            for names in (stages.HOST_WRITE, stages.HOST_RING):
                if found := self.router.each(names, callbacks, self.within):
                    self._writes[callbacks] = found
                    break
        return self._writes[callbacks]

    def _on(
        self, end: FunctionRow, kinds: Mapping[str, str], inside: tuple[tuple[str, ...], ...]
    ) -> tuple[Trail, Boundary]:
        """The part behind the function that QEMU calls, if that is a library's."""
        if kinds[end.name] != "library":
            return [], Boundary(kinds[end.name], end.name)
        return Beyond(self.index, self.netdev.name, end).to_system(inside)

    def _called_back(self) -> tuple[Pieces, Boundary] | None:
        """The trail of a library that is polled and calls a function of its callback table for each frame."""
        poll = self._library_poll()
        if poll is None:
            return None
        beyond = Beyond(self.index, self.netdev.name, poll[-1].function)
        read, boundary = beyond.to_system(stages.INSIDE_READ)
        for field, value, file, line in self._callbacks():
            send = self.router.route([value], named(stages.SEND), self.within)
            if send is None:
                continue
            callback = send[0].function
            if into := beyond.back(read, callback) if read else []:
                parts: Pieces = [(poll, None), (read, None), (into, Role.HOST)]
                return [*parts, (send[1:], Role.SEND)], boundary
            why = f"{field} of the callback table that the library was given"
            edge = Edge(
                poll[-1].function.id, callback.id, file, line, "table", "library", field, ((file, line, why),)
            )
            parts = [(poll, None), ([Hop(edge, callback)], Role.HOST)]
            note = boundary.note if boundary.kind == "library" else ""
            return [*parts, (send[1:], Role.SEND)], Boundary("library", poll[-1].function.name, note)
        return None

    def _callbacks(self) -> list[tuple[str, int, str, int]]:
        """(`Struct.field`, function, file, line) of the netdev's tables, without its `NetClientInfo`."""
        return [
            (f"{struct}.{field}", int(value), file, line)
            for file in self.netdev.files
            for _, _, struct, field, what, value, line in self.index.tables_in(file)
            if what == "function" and struct not in ("NetClientInfo", "") and int(value) in self.netdev.runs
        ]

    def _library_poll(self) -> Trail | None:
        starts = self.handlers(("Notifier.notify",))
        trail = self.router.route(starts, named(stages.HOST_READ), self.within)
        return [*self.entered(trail[0].function), *trail[1:]] if trail else None

    def handlers(self, fields: tuple[str, ...]) -> list[int]:
        """Functions of the netdev that the main loop calls, from its own files."""
        found = [
            value
            for value, _, file, _, caller in self.registered(fields)
            if file in self.netdev.files and (not caller or caller in self.netdev.runs)
        ]
        return list(dict.fromkeys(found))

    def registered(self, fields: tuple[str, ...]) -> list[tuple[int, str, str, int, int]]:
        """(function, `Struct.field`, file, line, setter) of the functions in a field that the netdev runs."""
        return [
            (value, field, file, line, caller)
            for field in fields
            for value, caller, file, line in self.index.registered(field)
            if value in self.netdev.runs
        ]

    def entered(self, function: FunctionRow) -> Trail:
        """`function` as a first step called by the main loop, with its registration as evidence."""
        for value, field, file, line, caller in self.registered(_LOOP_FIELDS):
            if value == function.id and caller in self.netdev.runs:
                why = f"{field} is set: the main loop calls it"
                edge = Edge(0, function.id, file, line, "async", "main loop", field, ((file, line, why),))
                return [Hop(edge, function)]
        return [Hop(None, function)]

    def within(self, edge: Edge) -> bool:
        """Whether an edge is on the netdev's side: its own functions, and the ends."""
        target = self.router.function(edge.callee)
        if target.name in {*stages.HOST_WRITE, *stages.HOST_READ, *stages.HOST_RING, *stages.SEND}:
            return True
        return target.id in self.netdev.runs and target.name not in stages.FOR_LATER


def _reassembles(trail: Trail) -> bool:
    """Whether the trail assembles frames from a stream (net/net.c, net_fill_rstate)."""
    return any(edge is not None and edge.field.startswith("SocketReadState.") for edge, _, _ in trail)
