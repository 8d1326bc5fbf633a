"""Builds the steps of a path from routes through the call graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from qtrace.model import CallSite, Evidence, Role, Step
from qtrace.path.route import Hop, Trail
from qtrace.store.index import FunctionRow

__all__ = ["Steps", "named"]


class Steps:
    """Collects steps; the last of each piece carries its stage."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def add(self, trail: Trail, last: Role | None) -> None:
        """Add a piece."""
        for number, hop in enumerate(trail, 1):
            self.steps.append(_step(hop, last if number == len(trail) else None))

    def splice(self, trail: Trail, side: Trail, role: Role) -> None:
        """Add `trail`, and insert `side` directly behind the function from which it branches off."""
        for hop in trail:
            self.steps.append(_step(hop, None))
            if side and side[0].edge is not None and side[0].edge.caller == hop.function.id:
                self.add(side, role)
                side = []
        if side:
            self.add(side, role)


def _step(hop: Hop, role: Role | None) -> Step:
    edge, function, _ = hop
    call = None
    if edge is not None:
        evidence = tuple(Evidence(file, line, why) for file, line, why in edge.evidence)
        call = CallSite(edge.file, edge.line, edge.kind, evidence, edge.confidence, edge.loop)
    return Step(function.name, function.file, function.line, role, call)


def named(names: Iterable[str]) -> Callable[[FunctionRow], bool]:
    """Whether a function has one of these names."""
    wanted = frozenset(names)
    return lambda function: function.name in wanted
