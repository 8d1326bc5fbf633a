"""The shortest way through the call graph between two points, preferring the data path."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from functools import cached_property

from qtrace.store.index import Edge, FunctionRow, Index

__all__ = ["Router"]

# A step costs 1; these cost more, so that a frame is not led through them while there is another way.
_DETOUR = 4
_ELSEWHERE = 3  # a step into a file that is neither the NIC's, nor the netdev's, nor of the core
_CORE = ("net/net.c", "net/queue.c", "hw/virtio/virtio.c", "hw/virtio/virtio-pci.c", "hw/pci/", "include/")
# Words in a function's name that say it is not what carries an ordinary frame.
_ASIDE = ("filter", "flush", "purge", "reset", "cleanup", "loopback", "announce", "error", "load", "vmstate")


class Router:
    """Searches one index for one pair of NIC and netdev; `files` are those two's own.

    `aside` are more words in a function's name that say it is not an ordinary frame's.
    """

    def __init__(self, index: Index, files: Iterable[str], aside: Iterable[str] = ()) -> None:
        self.index = index
        self.files = frozenset(files)
        self.aside = (*_ASIDE, *aside)
        self._out: dict[int, list[Edge]] = {}

    @cached_property
    def timers(self) -> frozenset[int]:
        """Functions that a timer runs: the frame's way only where there is no other."""
        return frozenset(
            int(value)
            for what, value, *_ in self.index.registrations("QEMUTimer.cb")
            if what == "function" and value.isdigit()
        )

    def function(self, number: int) -> FunctionRow:
        """The function with that id."""
        return self.index.function_by_id(number)

    def out(self, number: int) -> list[Edge]:
        """Edges out of a function, remembered."""
        if number not in self._out:
            self._out[number] = self.index.callees(number)
        return self._out[number]

    def route(
        self,
        starts: Iterable[int],
        goal: Callable[[FunctionRow], bool],
        allowed: Callable[[Edge], bool] = lambda edge: True,
        limit: int = 60,
    ) -> list[tuple[Edge | None, FunctionRow]] | None:
        """The cheapest way from any of `starts` to a function that is a `goal`, as (edge, function).

        The first entry has no edge. Ties go to the call that stands first in its file. None if there
        is no way within `limit`.
        """
        queue: list[tuple[int, int, int]] = []
        came: dict[int, tuple[int, Edge] | None] = {}
        cost: dict[int, int] = {}
        order = 0
        for start in starts:
            cost.setdefault(start, 0)
            came.setdefault(start, None)
            heapq.heappush(queue, (0, order, start))
            order += 1
        done: set[int] = set()
        while queue:
            spent, _, here = heapq.heappop(queue)
            if here in done:
                continue
            done.add(here)
            function = self.function(here)
            if goal(function):
                return self._trail(here, came)
            if not function.file:
                continue
            for edge in self.out(here):
                if not allowed(edge):
                    continue
                price = spent + self._price(edge)
                if price <= limit and price < cost.get(edge.callee, limit + 1):
                    cost[edge.callee] = price
                    came[edge.callee] = (here, edge)
                    order += 1
                    heapq.heappush(queue, (price, order, edge.callee))
        return None

    def _price(self, edge: Edge) -> int:
        target = self.function(edge.callee)
        price = 1
        if edge.callee in self.timers:
            price += _DETOUR
        if any(word in target.name for word in self.aside):
            price += _DETOUR
        if target.name == "qemu_sendv_packet":
            price += 1  # where a device has both, the vector is for the frame that needs a tag put in
        if target.file and target.file not in self.files and not target.file.startswith(_CORE):
            price += _ELSEWHERE
        return price

    def _trail(
        self, end: int, came: dict[int, tuple[int, Edge] | None]
    ) -> list[tuple[Edge | None, FunctionRow]]:
        trail: list[tuple[Edge | None, FunctionRow]] = []
        here: int | None = end
        while here is not None:
            before = came[here]
            trail.append((before[1] if before else None, self.function(here)))
            here = before[0] if before else None
        return trail[::-1]
