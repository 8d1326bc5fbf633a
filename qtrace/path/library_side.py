"""A library's part of a path: from the function that QEMU calls to the socket, and back to QEMU."""

from __future__ import annotations

from collections.abc import Callable

from qtrace.model import Boundary
from qtrace.path import stage_functions as stages
from qtrace.path.route import Hop, Router, Trail
from qtrace.path.steps import named
from qtrace.store.index import Edge, FunctionRow, Index

__all__ = ["Beyond"]


class Beyond:
    """A library's part of the paths of one netdev; `entry` is the function that QEMU calls or polls."""

    def __init__(self, index: Index, netdev: str, entry: FunctionRow) -> None:
        self.index = index
        self.netdev = netdev
        self.entry = entry
        self.library = index.library_of(entry.file)
        files = index.files_of(self.library) if self.library else ()
        self.router = Router(index, frozenset(files), stages.INSIDE_ASIDE)

    def to_system(self, kinds: tuple[tuple[str, ...], ...]) -> tuple[Trail, Boundary]:
        """From behind the entry to the system call, a stream's first; empty if there is no call chain."""
        boundary = Boundary("library", self.entry.name, self._why_not())
        if not self.library:
            return [], boundary
        for number, names in enumerate(kinds):
            if trail := self.router.route([self.entry.id], named(names), self.inside(names)):
                notes = (*self._plug_ins(trail), *self._callers(kinds[number + 1 :]))
                return trail[1:], Boundary("syscall", trail[-1].function.name, "; ".join(notes))
        return [], boundary

    def back(self, read: Trail, callback: FunctionRow) -> Trail:
        """From the library's read of a socket to QEMU's callback; empty if there is no call chain.

        The frame takes the first call behind the read that leads to the callback. Frames that the library
        sends from its queue (at the end of its poll) take another path.
        """
        here = self.entry
        for edge, function, _ in read:
            assert edge is not None
            behind = [call for call in self.router.out(here.id) if call.line > edge.line]
            for call in behind:
                if not self.inside()(call):
                    continue
                if trail := self._to(call.callee, callback):
                    return [Hop(call, trail[0].function), *trail[1:]]
            here = function
        return (self._to(self.entry.id, callback) or [])[1:]

    def _to(self, start: int, callback: FunctionRow) -> Trail | None:
        def allowed(edge: Edge) -> bool:
            return edge.callee == callback.id or self.inside()(edge)

        return self.router.route([start], lambda function: function.id == callback.id, allowed)

    def inside(self, ends: tuple[str, ...] = ()) -> Callable[[Edge], bool]:
        """Whether a call stays within the library or goes to one of `ends`.

        Of several plug-ins, only the one with the netdev's own name counts: libvdeplug uses it for a path
        without a scheme, and QEMU passes no other.
        """

        def allowed(edge: Edge) -> bool:
            target = self.router.function(edge.callee)
            if target.name in ends:
                return True
            if self.index.library_of(target.file) != self.library:
                return False
            return edge.kind == "direct" or self._usual(target.file)

        return allowed

    def _usual(self, file: str) -> bool:
        name, usual = self._plug_in(file)
        return not name or file == usual or usual not in self.router.files

    def _plug_in(self, file: str) -> tuple[str, str]:
        """(the plug-in to which this file belongs, or empty; the file of the plug-in with the netdev's
        name)."""
        folder, _, name = file.rpartition("/")
        start = f"{self.library}_"
        return name if name.startswith(start) else "", f"{folder}/{start}{self.netdev}.c"

    def _plug_ins(self, trail: Trail) -> list[str]:
        """The plug-in through which a trail leads: the library loads it by name, so it is one of several."""
        hops = [hop for hop in trail if hop.edge and hop.edge.kind != "direct"]
        names = [self._plug_in(hop.function.file)[0] for hop in hops]
        return [f"through its plug-in {name}: a URL can name another" for name in names if name]

    def _callers(self, kinds: tuple[tuple[str, ...], ...]) -> list[str]:
        """The functions in which the library makes the other system calls: those of datagrams."""
        found = []
        for name in (name for names in kinds for name in names):
            callers = {
                self.router.function(edge.caller).name
                for function in self.index.function(name)
                for edge in self.index.callers(function.id)
                if self.index.library_of(edge.file) == self.library
            }
            if callers:
                found.append(f"{name} (in {', '.join(sorted(callers))})")
        return [f"datagrams by {' and '.join(found)}"] if found else []

    def _why_not(self) -> str:
        if not self.library:
            library = stages.LIBRARY_OF.get(self.entry.name)
            return f"'qtrace index --libraries' walks on into {library}" if library else ""
        seen = {self.entry.id}
        todo = [self.entry]
        for function in todo:
            for _, file, line, target in self.index.unresolved(function.id):
                return f"the target is unknown of the call through {target} ({file}:{line})"
            for edge in self.router.out(function.id):
                if edge.callee not in seen and self.inside()(edge):
                    seen.add(edge.callee)
                    todo.append(self.router.function(edge.callee))
        return f"no call chain in {self.library} leads to a system call"
