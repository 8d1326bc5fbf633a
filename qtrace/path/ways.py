"""All ways of a path's stages. A stage is a boundary, and the walk shows the usual way across it.

The ways are searched from every entry by which the guest reaches the NIC, and from every callback by which a
frame reaches the NIC or the netdev, up to each function that crosses the boundary. The condition of a way is
made of those conditions on the calls leading to it that not all ways have.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace

from qtrace.errors import NoPath
from qtrace.model import STAGE_ORDER, Direction, Evidence, Path, Role, Way
from qtrace.path import stage_functions as stages
from qtrace.path.branch_conditions import conditions_of
from qtrace.path.route import Trail
from qtrace.path.transport_lines import transport_lines
from qtrace.path.walk import Pair
from qtrace.store.index import FunctionRow, Index

__all__ = ["ways_of", "with_ways"]

_RECEIVE = ("receive_iov", "receive", "receive_raw")
# The last functions of a side step, by stage.
_ENDS: dict[Role, tuple[str, ...]] = {
    Role.DEQUEUE: stages.DEQUEUE,
    Role.ENQUEUE: stages.ENQUEUE,
    Role.COMPLETE: stages.GUEST_WRITE,
    Role.INTERRUPT: stages.INTERRUPTS,
}
_FAR, _NEAR = 24, 8  # greatest length of a side step: to the interrupt, and to guest memory

Found = Iterable[tuple[FunctionRow, Trail]]


def with_ways(index: Index, path: Path) -> Path:
    """The same path with all ways of its stages."""
    return replace(path, ways=ways_of(index, path))


def ways_of(index: Index, path: Path) -> tuple[Way, ...]:
    """All ways of the stages of a path that `walk` found in this index, the usual one of each stage first."""
    if path.datapath != "qemu":
        steps = [(step, step.stage) for step in path.stages if step.stage]
        return tuple(Way(role, step.function, step.file, step.line, usual=True) for step, role in steps)
    return _Ways(index, path).all()


class _Ways:
    def __init__(self, index: Index, path: Path) -> None:
        self.index = index
        self.path = path
        self.pair = Pair(index, path.nic, path.netdev)
        self.router = self.pair.router
        self.conditions = conditions_of(index)
        self.on_path = {step.function for step in path.steps}
        self.kicks = self.pair.side.spines if path.direction is Direction.TX else []
        self.sent = self.pair.side.sends if self.kicks else self.pair.host.sends
        self.delivers = list(self.delivered())
        self.spines = self.kicks or [self.pair.side.into_guest(function) for function, _ in self.delivers]

    def all(self) -> tuple[Way, ...]:
        """The ways of all stages, in the order of the stages."""
        found: list[Way] = []
        for role in STAGE_ORDER[self.path.direction]:
            trails: dict[str, tuple[FunctionRow, Trail]] = {}
            for function, trail in self.of(role):
                trails.setdefault(function.name, (function, trail))
            ways = self.told_apart(role, trails.values())
            for step in self.path.stages:
                if step.stage is role and step.function not in trails:
                    why = step.call.evidence if step.call else ()
                    ways.append(Way(role, step.function, step.file, step.line, "", why, usual=True))
            if role is Role.INTERRUPT:
                there = {way.function for way in ways}
                lines = transport_lines(self.index, self.path)
                ways += [way for way in lines if way.function not in there]
            found += sorted(ways, key=lambda way: not way.usual)
        return tuple(found)

    def of(self, role: Role) -> Found:
        """The functions that cross a stage's boundary, each with the trail that leads to it or on from it."""
        if role is Role.KICK:
            return [(spine[0].function, spine) for spine in self.kicks]
        if role is Role.SEND:
            return self.sent
        if role is Role.DELIVER:
            return self.delivers
        if role is Role.HOST:
            host = self.pair.host
            callbacks = tuple(function.id for function, _ in self.delivers)
            return host.writes(callbacks) if self.path.direction is Direction.TX else host.reads
        return self.side_steps(role)

    def told_apart(self, role: Role, found: Iterable[tuple[FunctionRow, Trail]]) -> list[Way]:
        """The ways of one stage, each with the conditions that not all of them have."""
        trails = [(function, self.until_path(role, trail)) for function, trail in found]
        conditions = [self.chosen_by(trail) for _, trail in trails]
        common = set.intersection(*map(set, conditions)) if conditions else set()
        usual = {step.function for step in self.path.stages if step.stage is role}
        return [
            Way(
                *(role, function.name, function.file, function.line),
                " and ".join(_enclosed(condition) for condition in chosen if condition not in common),
                (*self.entered(role, function), *_calls(trail)),
                function.name in usual,
            )
            for (function, trail), chosen in zip(trails, conditions, strict=True)
        ]

    def until_path(self, role: Role, trail: Trail) -> Trail:
        """The part of a kick's trail up to the first function on the path; the whole trail for other
        roles."""
        if role is not Role.KICK:
            return trail
        joins = next((n for n, hop in enumerate(trail[1:], 1) if hop.function.name in self.on_path), 1)
        return trail[: joins + 1]

    def chosen_by(self, trail: Trail) -> list[str]:
        """The conditions on the calls of a trail, each once, in order."""
        found: dict[str, None] = {}
        for before, hop in itertools.pairwise(trail):
            if hop.edge and hop.edge.caller == before.function.id and before.function.file:
                name = hop.edge.field.rpartition(".")[2] or hop.function.name
                found |= dict.fromkeys(self.conditions.of_call(before.function, hop.edge.line, name))
        return list(found)

    def entered(self, role: Role, function: FunctionRow) -> tuple[Evidence, ...]:
        """The evidence of how the guest reaches a function that it enters by."""
        if role is not Role.KICK:
            return ()
        if function.name == stages.VIRTIO_DOORBELL:
            edges = self.index.callers(function.id)
            mine = [edge for edge in edges if edge.caller in self.pair.side.runs]
            callers = [(edge, self.router.function(edge.caller).name) for edge in mine or edges]
            return tuple(Evidence(e.file, e.line, f"{name} calls {function.name}") for e, name in callers)
        places = self.index.fields_with(function.id)
        return tuple(Evidence(file, line, f"{field} is set") for field, file, line in places)

    def delivered(self) -> Iterator[tuple[FunctionRow, Trail]]:
        """The peer's callbacks, from the calls of net/net.c behind a sending function."""
        tables = (self.pair.netdev if self.path.direction is Direction.TX else self.pair.side).tables
        senders = [function for function, _ in self.sent]
        for field in _RECEIVE:
            for table in tables:
                if field not in table.callbacks:
                    continue
                receive = table.callbacks[field][0]
                for sender in senders:
                    try:
                        yield receive, self.pair.deliver(sender, receive, table)
                        break
                    except NoPath:
                        continue

    def side_steps(self, role: Role) -> Iterator[tuple[FunctionRow, Trail]]:
        side = self.pair.side
        for name in _ENDS[role]:
            limit = _FAR if role is Role.INTERRUPT and name != stages.GUEST_NOTIFIER else _NEAR
            for spine in self.spines:
                behind = role is Role.INTERRUPT
                if trail := side.side_trail(spine, name, side.beside, limit, behind):
                    yield trail[-1].function, trail
                    break


def _enclosed(condition: str) -> str:
    return f"({condition})" if "||" in condition and not condition.startswith("not (") else condition


def _calls(trail: Trail) -> tuple[Evidence, ...]:
    """Each call of a trail: its place, or the reason for its target."""
    found: list[Evidence] = []
    for before, hop in itertools.pairwise(trail):
        if hop.edge and hop.edge.evidence:
            found += [Evidence(file, line, why) for file, line, why in hop.edge.evidence]
        elif hop.edge:
            found.append(
                Evidence(hop.edge.file, hop.edge.line, f"{before.function.name} calls {hop.function.name}")
            )
    return tuple(found)
