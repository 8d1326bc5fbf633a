"""A stage is passed by any of its ways: whichever were taken, its total is right, and a zero stands only
where nothing can have passed unseen. Nothing is measured here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from counted import probe, snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from qtrace.model import STAGE_ORDER, Direction, Role
from qtrace.trace.session.conservation import NOT_SEEN
from qtrace.trace.session.snapshot import Count, OtherWay, Snapshot, Stage

_WAYS = 4  # that a stage may have
_FRAMELESS = (Role.KICK, Role.INTERRUPT)
_REASON = "not in this binary"


@dataclass(frozen=True)
class Passed:
    """By one way of a stage: how often it was taken, and whether it is probed. The first is the usual one."""

    hits: int
    probed: bool


# Stage -> those that no frame passes without having passed it, or without the guest being told.
BEHIND: dict[Direction, dict[Role, tuple[Role, ...]]] = {
    Direction.TX: {
        Role.KICK: (Role.SEND,),
        Role.DEQUEUE: (Role.SEND, Role.COMPLETE),
        Role.SEND: (Role.DELIVER, Role.HOST),
        Role.DELIVER: (Role.HOST,),
    },
    Direction.RX: {
        Role.SEND: (Role.DELIVER, Role.ENQUEUE),
        Role.DELIVER: (Role.ENQUEUE,),
        Role.ENQUEUE: (Role.INTERRUPT,),
        Role.INTERRUPT: (Role.ENQUEUE,),
    },
}
Stages = dict[tuple[Direction, Role], list[Passed]]


@st.composite
def paths(draw: st.DrawFn) -> Stages:
    """So many frames in each direction pass every stage, by any of its ways."""
    found: Stages = {}
    for direction in Direction:
        frames = draw(st.integers(0, 1009))
        for role in STAGE_ORDER[direction]:
            ways = draw(st.integers(1, _WAYS))
            taken = sorted(draw(st.sets(st.integers(0, ways - 1), min_size=1)))
            left, hits = frames, [0] * ways
            for way in taken[:-1]:
                hits[way] = draw(st.integers(0, left))
                left -= hits[way]
            hits[taken[-1]] = left
            probed = draw(st.lists(st.booleans(), min_size=ways, max_size=ways))
            found[direction, role] = [Passed(*both) for both in zip(hits, probed, strict=True)]
    return found


def seen(stages: Stages) -> Snapshot:
    """What the programs count of it: the hits of the ways that are probed, each for its stage."""
    slots: list[Stage] = []
    others: list[OtherWay] = []
    hits: dict[tuple[int, int], int] = {}
    counts: dict[tuple[int, int], Count] = {}
    for slot, ((direction, role), ways) in enumerate(stages.items()):
        name, lost = f"{direction}_{role}", "" if ways[0].probed else _REASON
        reason = "" if any(way.probed for way in ways) else _REASON
        slots.append(Stage(probe(direction, role, name, slot), "uprobe", "", reason, "" if reason else lost))
        for number, way in enumerate(ways[1:]):
            other = probe(direction, role, f"{name}_{number}", slot, way_of=name)
            if not way.probed:
                others.append(OtherWay(other, reason=_REASON))
                continue
            others.append(OtherWay(other, len(others) + 1, slot))
            hits[1, len(others)] = way.hits
        counts[1, slot] = Count(count(ways), 0 if role in _FRAMELESS else count(ways), 0, count(ways))
    return snapshot(slots, counts, ways=tuple(others), way_counts=hits)


def count(ways: list[Passed]) -> int:
    return sum(way.hits for way in ways if way.probed)


@settings(max_examples=1000, deadline=None)
@given(paths())
def test_the_total_is_that_of_the_ways_taken_and_a_missing_one_is_not_seen(stages: Stages) -> None:
    tables = seen(stages).tables()
    rows = {(Direction(row["direction"]), Role(row["stage"])): row for row in tables["stages"]}
    unseen = {row["item"] for row in tables["ledger"] if row["kind"] == NOT_SEEN}
    for key, ways in stages.items():
        row, name = rows[key], f"{key[0]}_{key[1]}"
        assert row["calls"] == count(ways)
        if len(ways) > 1:
            assert shown(tables["ways"], name) == [
                (way.probed, way.hits if way.probed else 0, "" if way.probed else _REASON) for way in ways
            ]
        if not any(way.probed for way in ways):
            assert (row["attached"], row["note"]) == (False, _REASON)
            continue
        missed = not row["calls"] and (told_by_others(stages, key) or unknown(stages, key))
        assert row["attached"] == (not missed)
        assert row["note"].startswith(NOT_SEEN) == missed
        assert (f"{key[0]} {key[1]}: {name}" in unseen) == missed


def shown(rows: list[dict[str, Any]], name: str) -> list[tuple[bool, int, str]]:
    """One stage's ways in the table, the usual one first."""
    mine = [row for row in rows if row["function"] == name or row["function"].startswith(f"{name}_")]
    return [(row["attached"], row["calls"], row["note"]) for row in mine]


def told_by_others(stages: Stages, key: tuple[Direction, Role]) -> bool:
    """Whether what is counted elsewhere cannot have been without this stage."""
    direction, role = key
    behind = BEHIND[direction].get(role, ())  # frames may end before the others
    return not interrupted(stages, role) and any(count(stages[direction, at]) >= 2 for at in behind)


def unknown(stages: Stages, key: tuple[Direction, Role]) -> bool:
    """Whether frames of its direction have passed elsewhere, and here maybe by a way without a probe."""
    direction, role = key
    passed = max(count(ways) for (way, _), ways in stages.items() if way is direction)
    blind = any(not way.probed for way in stages[key][1:])
    return blind and passed >= 2 and not interrupted(stages, role)


def interrupted(stages: Stages, role: Role) -> bool:
    """Whether the guest was told at all: one interrupt may serve both directions."""
    return role is Role.INTERRUPT and any(count(stages[way, role]) for way in Direction)
