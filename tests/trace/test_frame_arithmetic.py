"""Followed and waiting frames: readings are subtracted, regrouped and told, and none comes or goes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from counted import OWNERS, STAGES, frame_readings, owner, pair, probe, waiting
from hypothesis import given
from hypothesis import strategies as st

from qtrace.model import Direction, Role
from qtrace.trace.frames.followed import FrameCount, FrameReading
from qtrace.trace.frames.reasons import UNDER_WAY
from qtrace.trace.frames.waits import Waiting

SEND, DELIVER, HOST, ENQUEUE = Role.SEND, Role.DELIVER, Role.HOST, Role.ENQUEUE
PROBES = [
    probe(Direction.TX, stage, f"f{slot}", slot) for slot, stage in enumerate((SEND, DELIVER, HOST, ENQUEUE))
]
SEVERAL = 0xFF


def totals(read: FrameReading) -> FrameCount:
    return sum(read.counts.values(), FrameCount())


def later(before: FrameReading, more: FrameReading) -> FrameReading:
    """What the maps hold when `more` has come after `before`; `open` and `stops` are of the moment."""
    counts = {}
    for group in before.counts.keys() | more.counts.keys():
        old, new = before.counts.get(group, FrameCount()), more.counts.get(group, FrameCount())
        counts[group] = replace(old + new, open=new.open)
    times = Counter(before.times) + Counter(more.times)
    waited = Counter(before.waiting.times) + Counter(more.waiting.times)
    return FrameReading(counts, times, more.ends, replace(more.waiting, times=waited))


def positive(numbers: dict[object, int]) -> dict[object, int]:
    return {key: number for key, number in numbers.items() if number}


@given(frame_readings, frame_readings)
def test_what_came_after_a_reading_is_what_subtracting_it_gives(
    before: FrameReading, more: FrameReading
) -> None:
    found = later(before, more).since(before)
    for group, count in found.counts.items():
        assert count == more.counts.get(group, FrameCount())
    assert positive(found.times) == positive(more.times)
    assert positive(found.waiting.times) == positive(more.waiting.times)
    assert found.waiting.stops == more.waiting.stops


@given(frame_readings)
def test_each_frame_is_of_one_kind(read: FrameReading) -> None:
    for count in read.counts.values():
        assert count.frames == count.matched + count.ambiguous + count.astray + count.open
        assert count.unmatched == count.astray + count.open


@given(frame_readings)
def test_where_one_owner_is_all_frames_are_its(read: FrameReading) -> None:
    mine = read.of_one(1)
    assert totals(mine) == totals(read)
    assert {number for number, _ in mine.counts} <= {1}
    assert sum(mine.times.values()) == sum(read.times.values())
    assert sum(mine.waiting.stops.values()) == sum(read.waiting.stops.values())
    assert sum(mine.waiting.times.values()) == sum(read.waiting.times.values())
    assert {way for _, way in mine.waiting.paused} == {way for _, way in read.waiting.paused}


@given(frame_readings, st.sets(st.integers(0, OWNERS - 1)))
def test_owners_share_out_the_frames(read: FrameReading, mine: set[int]) -> None:
    same = {slot: slot for slot in range(STAGES)}
    parts = read.only(mine, same), read.only({*range(OWNERS)} - mine, same)
    assert totals(parts[0]) + totals(parts[1]) == totals(read)
    for kind in ("counts", "times", "ends"):
        first, second = (getattr(part, kind) for part in parts)
        assert not first.keys() & second.keys()
        assert first | second == getattr(read, kind)
    for kind in ("times", "stops", "under_way"):
        first, second = (getattr(part.waiting, kind) for part in parts)
        assert first | second == getattr(read.waiting, kind)
    assert parts[0].waiting.paused | parts[1].waiting.paused == read.waiting.paused


@given(frame_readings, st.permutations(range(STAGES)))
def test_slots_are_only_renumbered(read: FrameReading, order: list[int]) -> None:
    there = dict(enumerate(order))
    back = {place: slot for slot, place in there.items()}
    everybody = range(OWNERS)
    assert read.only(everybody, there).only(everybody, back) == read


@given(waiting)
def test_what_stopped_at_several_stages_keeps_its_mark(read: Waiting) -> None:
    marked = replace(read, stops={**read.stops, (1, 0, SEVERAL): -3})
    assert marked.only({1}, {}).stops == {(1, 0, SEVERAL): -3}


@given(waiting)
def test_the_table_of_stops_has_every_frame_once(read: Waiting) -> None:
    tables = read.tables(PROBES, {1: owner(*pair(1, 2))})
    assert sum(row["frames"] for row in tables["stops"]) == sum(read.stops.values())
    assert all(row["why"] and row["frames"] > 0 for row in tables["stops"])
    waits = sum(row["count"] for row in tables["waits"])
    assert waits == sum(read.times.values())


def test_a_frame_that_may_only_be_on_its_way_is_not_said_to_have_stopped() -> None:
    read = Waiting(stops={(1, 0, 1): 5}, under_way={(1, 0, 1): 2})
    rows = read.tables(PROBES, {1: owner(*pair(1, 2))})["stops"]
    assert [(row["why"] == UNDER_WAY, row["frames"]) for row in rows] == [(True, 2), (False, 3)]


def test_of_frames_that_went_on_from_nobody_knows_where_only_the_rest_is_told() -> None:
    """Seven stopped at two stages; three of them went on: none can be put to a stage that is not known."""
    read = Waiting(stops={(1, 2, 0): 4, (1, 2, 1): 3, (1, 2, SEVERAL): -3})
    (row,) = read.tables(PROBES, {})["stops"]
    assert (row["frames"], row["stage"], row["why"]) == (4, "", "stopped at several stages")


@given(frame_readings)
def test_the_table_of_frames_holds_what_was_counted(read: FrameReading) -> None:
    followed = {group: ends for group, ends in read.ends.items() if group in read.counts}
    read = replace(read, ends=followed)
    tables = read.tables(PROBES, {1: owner(*pair(1, 2))})
    shown = {group: read.counts[group] for group in followed}
    assert sum(row["frames"] for row in tables["frames"]) == sum(c.frames for c in shown.values())
    assert sum(row["matched"] for row in tables["frames"]) == sum(c.matched for c in shown.values())
    assert sum(row["count"] for row in tables["frame_times"]) == sum(read.times.values())
    ledger = read.ledger(tables)
    for kind in ("ambiguous", "unmatched"):
        told = sum(row["count"] for row in ledger if row["kind"] == kind)
        assert told == sum(getattr(count, kind) for count in shown.values())
    stopped = sum(row["count"] for row in ledger if row["kind"] == "stopped")
    assert stopped == sum(read.waiting.stops.values())
