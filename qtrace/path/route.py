"""The cheapest route through the call graph between two points, preferring the data path."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Container, Iterable
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

from qtrace.model import EXACT
from qtrace.path.bindings import NOTHING, Known, bindings_of
from qtrace.store.index import Edge, FunctionRow, Index

__all__ = ["Hop", "Router", "Trail"]

# A step costs 1. The steps below cost more, so that a route avoids them if there is another.
_DETOUR = 4
_ELSEWHERE = 3  # a step into a file of neither the NIC, nor the netdev, nor the core
# Words in the name of a function that does not carry an ordinary frame, or that lowers an interrupt.
_ASIDE = (
    *("filter", "flush", "purge", "reset", "cleanup", "loopback", "announce", "error", "load", "vmstate"),
    *("deassert", "irq_lower"),
)


class Hop(NamedTuple):
    """A function on a route, the call that leads to it (None for a first hop), and the bindings at its
    entry."""

    edge: Edge | None
    function: FunctionRow
    known: Known = NOTHING


Trail = list[Hop]
_State = tuple[int, Known]


class Router:
    """Searches one index for one pair of NIC and netdev; `files` are those of both and the core's.

    `aside` are further words in the names of functions that do not carry an ordinary frame.
    """

    def __init__(self, index: Index, files: Container[str], aside: Iterable[str] = ()) -> None:
        self.index = index
        self.files = files
        self.aside = (*_ASIDE, *aside)
        self.bindings = bindings_of(index)

    @cached_property
    def timers(self) -> frozenset[int]:
        """Functions that a timer runs: a frame's route only if there is no other."""
        return frozenset(
            int(value)
            for what, value, *_ in self.index.registrations("QEMUTimer.cb")
            if what == "function" and value.isdigit()
        )

    def function(self, number: int) -> FunctionRow:
        """The function with that id."""
        return self.index.function_by_id(number)

    def out(self, number: int) -> list[Edge]:
        """Edges out of a function."""
        return self.index.callees(number)

    def route(
        self,
        starts: Iterable[int | Hop],
        goal: Callable[[FunctionRow], bool],
        allowed: Callable[[Edge], bool] = lambda edge: True,
        limit: int = 60,
    ) -> Trail | None:
        """The cheapest route from any of `starts` to a function that is a `goal`.

        A start is a function's id, or a hop of another route, with its bindings. The first hop has no edge.
        Ties go to the call that comes first in its file. None if there is no route within `limit`.
        """
        queue: list[tuple[int, int, _State]] = []
        came: dict[_State, tuple[_State, Edge] | None] = {}
        cost: dict[_State, int] = {}
        order = 0
        for start in starts:
            state = (start.function.id, start.known) if isinstance(start, Hop) else (start, NOTHING)
            cost.setdefault(state, 0)
            came.setdefault(state, None)
            heapq.heappush(queue, (0, order, state))
            order += 1
        done: set[_State] = set()
        while queue:
            spent, _, state = heapq.heappop(queue)
            if state in done:
                continue
            done.add(state)
            here, known = state
            function = self.function(here)
            if goal(function):
                return self._trail(state, came)
            if not function.file:
                continue
            for edge in self.out(here):
                if not self.bindings.allows(edge, known) or not allowed(edge):
                    continue
                price = spent + self._price(edge, known)
                if price > limit:
                    continue
                to = edge.callee, self.bindings.behind(edge, known)
                if price < cost.get(to, limit + 1):
                    cost[to] = price
                    came[to] = (state, edge)
                    order += 1
                    heapq.heappush(queue, (price, order, to))
        return None

    def each(
        self, names: Iterable[str], starts: Iterable[int | Hop], within: Callable[[Edge], bool]
    ) -> list[tuple[FunctionRow, Trail]]:
        """For each of the names the route to it that passes none of the others, with its last function."""
        ends = frozenset(names)

        def allowed(edge: Edge) -> bool:
            return self.function(edge.caller).name not in ends and within(edge)

        def by_name(name: str) -> Callable[[FunctionRow], bool]:
            return lambda function: function.name == name

        starts = list(starts)
        trails = (self.route(starts, by_name(name), allowed) for name in sorted(ends))
        return [(trail[-1].function, trail) for trail in trails if trail]

    def _price(self, edge: Edge, known: Known) -> int:
        target = self.function(edge.callee)
        price = 1
        if edge.callee in self.timers:
            price += _DETOUR
        if any(word in target.name for word in self.aside):
            price += _DETOUR
        if target.name == "qemu_sendv_packet":
            price += 1  # if a device has both, the vector is for a frame into which it inserts a tag
        if target.file and target.file not in self.files and not target.file.startswith("include/"):
            price += _ELSEWHERE
        if self.bindings.contradicts(edge, known):
            price += _DETOUR
        return price

    def _trail(self, end: _State, came: dict[_State, tuple[_State, Edge] | None]) -> Trail:
        trail: Trail = []
        here: _State | None = end
        while here is not None:
            before = came[here]
            edge = before[1] if before else None
            if before and edge and self.bindings.decides(edge, before[0][1]):
                edge = replace(edge, confidence=EXACT)  # the route passes only this one
            elif edge:
                edge = self._nearest(edge)
            trail.append(Hop(edge, self.function(here[0]), here[1]))
            here = before[0] if before else None
        return trail[::-1]

    def _nearest(self, edge: Edge) -> Edge:
        """Of several places that store the called function, one in these files: a field that several back
        ends set (`SocketReadState.finalize`) was set by this one."""
        if edge.kind == "direct" or edge.evidence[0][0] in self.files:
            return edge
        same = (edge.callee, edge.file, edge.line, edge.field)
        others = [
            other
            for other in self.out(edge.caller)
            if (other.callee, other.file, other.line, other.field) == same
            and other.evidence
            and other.evidence[0][0] in self.files
        ]
        return others[0] if others else edge
