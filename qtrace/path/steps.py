"""Pieces of a way through the call graph become the steps of a path."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from qtrace.model import CallSite, Evidence, Role, Step
from qtrace.store.index import Edge, FunctionRow

__all__ = ["Steps", "Trail", "named"]

# Functions in order, each with the edge that leads to it; the first may have none.
Trail = list[tuple[Edge | None, FunctionRow]]


class Steps:
    """Collects steps; the last of each piece carries its stage."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def add(self, trail: Trail, last: Role | None) -> None:
        """Add a piece."""
        for number, (edge, function) in enumerate(trail, 1):
            self.steps.append(_step(edge, function, last if number == len(trail) else None))

    def splice(self, trail: Trail, side: Trail, role: Role) -> None:
        """Add `trail`, and `side` right behind the function that it branches off from."""
        for edge, function in trail:
            self.steps.append(_step(edge, function, None))
            if side and side[0][0] is not None and side[0][0].caller == function.id:
                self.add(side, role)
                side = []
        if side:
            self.add(side, role)


def _step(edge: Edge | None, function: FunctionRow, role: Role | None) -> Step:
    call = None
    if edge is not None:
        evidence = tuple(Evidence(file, line, why) for file, line, why in edge.evidence)
        call = CallSite(edge.file, edge.line, edge.kind, evidence, edge.confidence, edge.loop)
    return Step(function.name, function.file, function.line, role, call)


def named(names: Iterable[str]) -> Callable[[FunctionRow], bool]:
    """Whether a function has one of these names."""
    wanted = frozenset(names)
    return lambda function: function.name in wanted
