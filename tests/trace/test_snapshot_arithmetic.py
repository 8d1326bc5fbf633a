"""What is counted twice or lost when readings are subtracted and snapshots regrouped: nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from counted import STAGES, client, counts, pair, probe, readings, snapshot
from hypothesis import given
from hypothesis import strategies as st

from qtrace.model import Direction, Role
from qtrace.trace.qemu.owners import Owner, Owners
from qtrace.trace.session.reading import Reading, subtract
from qtrace.trace.session.snapshot import Count, Snapshot, Stage

ROLES = (Role.KICK, Role.DEQUEUE, Role.SEND, Role.HOST)
SLOTS = [
    Stage(probe(Direction.TX if slot % 2 else Direction.RX, ROLES[slot], f"f{slot}", slot), "uprobe")
    for slot in range(STAGES)
]


def two_owners() -> tuple[Owner, ...]:
    owners = Owners()
    owners.update([*pair(1, 2), *pair(3, 4)])
    return tuple(owners)


@st.composite
def snapshots(draw: st.DrawFn, owners: tuple[Owner, ...]) -> Snapshot:
    read: Reading = draw(readings())
    return snapshot(
        SLOTS,
        read.counts,
        owners=owners,
        edges=read.edges,
        syscalls=read.syscalls,
        errors=read.errors,
        lost=read.lost,
        missed=read.missed,
        frames=read.frames,
        hits=read.hits,
    )


def added(one: Mapping[Any, Any], other: Mapping[Any, Any], zero: Any) -> dict[Any, Any]:
    return {key: one.get(key, zero) + other.get(key, zero) for key in one.keys() | other.keys()}


def later(before: Reading, more: Reading) -> Reading:
    """What the maps hold when `more` has been counted after `before`."""
    return Reading(
        added(before.counts, more.counts, Count()),
        added(before.edges, more.edges, 0),
        added(before.syscalls, more.syscalls, Count()),
        added(before.errors, more.errors, 0),
        added(before.lost, more.lost, 0),
        added(before.missed, more.missed, 0),
        more.frames,
        before.hits + more.hits,
    )


def without_zeros(counted: Mapping[Any, Any], zero: Any = 0) -> dict[Any, Any]:
    return {key: value for key, value in counted.items() if value != zero}


@given(counts, counts, counts)
def test_counts_are_added_in_any_order_and_taken_away_again(one: Count, other: Count, third: Count) -> None:
    assert one + other == other + one
    assert (one + other) + third == one + (other + third)
    assert one + other - other == one
    assert one + Count() == one


@given(readings(), readings())
def test_what_was_counted_after_a_reading_is_what_subtracting_it_gives(
    before: Reading, more: Reading
) -> None:
    found = subtract(later(before, more), before)
    assert without_zeros(found.counts, Count()) == without_zeros(more.counts, Count())
    assert without_zeros(found.edges) == without_zeros(more.edges)
    assert without_zeros(found.syscalls, Count()) == without_zeros(more.syscalls, Count())
    assert without_zeros(found.errors) == without_zeros(more.errors)
    assert without_zeros(found.lost) == without_zeros(more.lost)
    assert without_zeros(found.missed) == without_zeros(more.missed)
    assert found.hits == more.hits


@given(readings())
def test_nothing_is_between_a_reading_and_itself_but_what_is_still_under_way(read: Reading) -> None:
    found = subtract(read, read)
    assert not without_zeros(found.counts, Count()) and not without_zeros(found.edges)
    assert found.hits == 0 and not any(found.frames.times.values())
    for group, count in found.frames.counts.items():
        assert (count.matched, count.ambiguous, count.astray, count.waited) == (0, 0, 0, 0)
        assert count.open == read.frames.counts[group].open
    assert found.frames.waiting.stops == read.frames.waiting.stops


@given(snapshots(two_owners()), st.sampled_from(({1}, {2})))
def test_the_owners_share_out_what_is_counted_and_nobodys_stays_with_each(
    whole: Snapshot, mine: set[int]
) -> None:
    everywhere = {(stage.probe.direction.value, stage.probe.function) for stage in SLOTS}
    theirs = {owner.number for owner in whole.owners} - mine
    parts = whole.only(mine, everywhere), whole.only(theirs, everywhere)
    assert sum(len(part.owners) for part in parts) == len(whole.owners)
    for slot in range(STAGES):
        assert sum((part.total(slot) for part in parts), Count()) == whole.total(slot)
        for part in parts:
            assert part.counts.get((0, slot)) == whole.counts.get((0, slot))
    for kind in ("edges", "syscalls", "errors"):
        shared = [{k: v for k, v in getattr(part, kind).items() if k[0]} for part in parts]
        assert not shared[0].keys() & shared[1].keys()
        assert shared[0] | shared[1] == {k: v for k, v in getattr(whole, kind).items() if k[0]}


@given(snapshots(two_owners()), st.sets(st.integers(0, STAGES - 1)))
def test_stages_keep_their_counts_when_others_are_left_out(whole: Snapshot, kept: set[int]) -> None:
    wanted = {(SLOTS[slot].probe.direction.value, SLOTS[slot].probe.function) for slot in kept}
    part = whole.only({1, 2}, wanted)
    assert [stage.probe.function for stage in part.stages] == [f"f{slot}" for slot in sorted(kept)]
    for place, slot in enumerate(sorted(kept)):
        assert part.total(place) == whole.total(slot)
    both = {
        key: n for key, n in whole.edges.items() if key[1] in kept and key[2] in kept and key[0] in (0, 1, 2)
    }
    assert sum(part.edges.values()) == sum(both.values())


@given(snapshots((two_owners()[0],)))
def test_where_one_owner_is_everything_is_its(whole: Snapshot) -> None:
    mine = whole.simplified()
    assert {number for number, _ in mine.counts} <= {1}
    assert sum(mine.edges.values()) == sum(whole.edges.values())
    for slot in range(STAGES):
        everybodys = [count for (_, at), count in whole.counts.items() if at == slot]
        assert mine.total(slot) == sum(everybodys, Count())
    assert sum(mine.frames.times.values()) == sum(whole.frames.times.values())
    assert replace(whole, owners=()).simplified() == replace(whole, owners=())


@given(snapshots(two_owners()))
def test_the_tables_hold_what_the_snapshot_does(whole: Snapshot) -> None:
    tables = whole.tables()
    assert [row["calls"] for row in tables["stages"]] == [whole.total(slot).calls for slot in range(STAGES)]
    queues: Counter[str] = Counter()
    for row in tables["queues"]:
        queues[row["function"]] += row["calls"]
    assert queues == Counter({f"f{slot}": n for slot in range(STAGES) if (n := whole.total(slot).calls)})
    assert sum(row["count"] for row in tables["edges"]) == sum(whole.edges.values())
    assert sum(row["calls"] for row in tables["syscalls"]) == sum(c.calls for c in whole.syscalls.values())
    ledger = {(row["kind"], row["item"]): row["count"] for row in tables["ledger"]}
    for loss, number in whole.lost.items():
        assert ledger.get(("lost", loss.item), 0) == number
    for program, number in whole.missed.items():
        assert ledger.get(("missed", program), 0) == number
    nobodys = sum(row["count"] for row in tables["ledger"] if row["kind"] == "unattributed")
    assert nobodys == sum(count.calls for (number, _), count in whole.counts.items() if not number)


def test_a_stage_without_a_probe_is_a_row_and_a_line_of_the_ledger() -> None:
    stage = Stage(SLOTS[0].probe, "uprobe", reason="it is not in this binary")
    tables = snapshot([stage], {}, owners=two_owners(), beyond=3).tables()
    (row,) = tables["stages"]
    assert (row["attached"], row["how"], row["calls"]) == (False, "none", 0)
    assert [(line["kind"], line["count"]) for line in tables["ledger"]] == [("unattached", 1), ("shared", 3)]


def test_who_came_in_the_window_is_told() -> None:
    near, far = client(1, "nic", 2, name="net1"), client(2, "tap", 1, name="t0")
    owners = Owners()
    owners.update([near, far])
    (line,) = snapshot([], {}, owners=tuple(owners), came=tuple(owners)).tables()["ledger"]
    assert (line["kind"], line["item"], line["count"]) == ("plugged in", "net1 on t0", 1)
