"""Counts of windows scaled to the whole time: rows of a run and of the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from counted import probe, snapshot
from hypothesis import given
from hypothesis import strategies as st

from qtrace.measure.ratio_estimator import Spread
from qtrace.measure.scaling import Unseen
from qtrace.model import Direction, Role
from qtrace.trace.budget.regulator import LeftOut
from qtrace.trace.session.snapshot import Count, Snapshot, Stage

STAGES = [
    Stage(probe(Direction.TX, Role.HOST, "writev", 1, "tracepoint", rule="tap"), "tracepoint"),
    Stage(probe(Direction.TX, Role.SEND, "send", 0), "uprobe"),
]
NIC = "net0"


@dataclass
class Suppressed:
    """What a regulator says that it took away."""

    pauses: int = 1
    left_out: list[LeftOut] = field(default_factory=list)


def window(frames: int, hits: int, seconds: float = 1.0) -> Snapshot:
    counted = {(0, 0): Count(frames, frames, 100 * frames, frames), (0, 1): Count(hits, hits, 60 * hits, 0)}
    return snapshot(STAGES, counted, seconds)


def spread(windows: list[tuple[int, int]], paused: int) -> Spread:
    """These windows, and pauses in which so many frames passed."""
    found = Spread()
    for frames, hits in windows:
        found.add(1.0, window(frames, hits))
    found.skip(1.0, window(paused, 0))
    return found


def row(slot: int, count: Count) -> dict[str, Any]:
    stage = STAGES[slot]
    return {
        "direction": "tx",
        "stage": stage.probe.role,
        "function": stage.probe.function,
        "how": stage.how,
        "attached": True,
        "calls": count.calls,
        "frames": count.frames,
        "bytes": count.bytes,
    }


steady = st.lists(st.integers(1, 10**6), min_size=2, max_size=8)


@given(steady, st.integers(0, 10**6), st.integers(1, 5))
def test_a_whole_run_is_the_windows_and_what_passed_between(
    frames: list[int], paused: int, hits: int
) -> None:
    unseen = Unseen(
        Suppressed(), {NIC: spread([(n, hits * n) for n in frames], paused)}, len(frames) + 1.0, 1.0
    )
    counted = Count(hits * sum(frames), hits * sum(frames), 60 * hits * sum(frames))
    found = unseen.scaled(NIC, row(1, counted), counted)
    assert found is not None and found.count is not None
    whole = hits * (sum(frames) + paused)
    assert found.count.calls == pytest.approx(whole, abs=1) and found.count.frames == found.count.calls
    assert found.count.bytes == pytest.approx(60 * whole, abs=60)
    assert found.observed == pytest.approx(len(frames) / (len(frames) + 1))
    assert found.errors is not None and max(found.errors) <= 1e-3 * 60 * max(1, whole)


@given(steady, st.integers(0, 10**6))
def test_a_lap_is_told_by_what_was_exact_in_it(frames: list[int], lap: int) -> None:
    known = {NIC: spread([(n, 2 * n) for n in frames], 5)}
    unseen = Unseen(Suppressed(), known, 2.0, 1.0, {NIC: window(lap, 0)})
    found = unseen.scaled(NIC, row(1, Count(1)), Count(1))
    assert found is not None and found.count is not None
    assert found.count.calls == pytest.approx(2 * lap, abs=1)


def test_what_is_exact_is_not_scaled() -> None:
    known = {NIC: spread([(10, 10), (20, 20)], 5)}
    assert Unseen(Suppressed(), known, 3.0, 1.0).scaled(NIC, row(0, Count(30)), Count(30)) is None
    assert Unseen(Suppressed(), known, 3.0, 0.0).scaled(NIC, row(1, Count(30)), Count(30)) is None


def test_a_function_that_was_left_out_is_told_as_far_as_it_was_counted() -> None:
    gone = Suppressed(0, [LeftOut("send", 0.8, 0.5)])
    known = {NIC: spread([(10, 10)], 0)}
    found = Unseen(gone, known, 2.0, 0.0).scaled(NIC, row(1, Count(7)), Count(7))
    assert found is not None and (found.observed, found.count) == (0.25, Count(7))
    lap = Unseen(gone, known, 2.0, 0.0, {NIC: window(10, 0)}).scaled(NIC, row(1, Count(7)), Count(7))
    assert lap is not None and (lap.observed, lap.count) == (0.0, None)


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=6), st.integers(1, 4))
def test_queues_are_scaled_with_their_stage(queues: list[int], factor: int) -> None:
    counted = sum(queues)
    known = {NIC: spread([(counted, counted), (1, 1)], factor * counted)}
    stage = row(1, Count(counted, counted, 60 * counted))
    parts = [row(1, Count(n, n, 60 * n)) for n in queues]
    tables: dict[str, list[dict[str, Any]]] = {"stages": [stage], "queues": parts, "ledger": []}
    Unseen(Suppressed(), known, 4.0, 2.0).apply(NIC, tables)
    assert stage["windowed"] and stage["observed"] == 0.5
    for name in ("calls", "frames", "bytes"):
        assert sum(part[name] for part in parts) == pytest.approx(stage[name], abs=len(queues))
    assert tables["ledger"][0]["kind"] == "suppressed"


def test_the_ledger_says_what_was_suppressed() -> None:
    gone = Suppressed(3, [LeftOut("memory_region_write", 0.8, 0.5)])
    pauses, left = Unseen(gone, {}, 4.0, 1.0).ledger()
    assert (pauses["kind"], pauses["count"]) == ("suppressed", 3) and "25.0% of the time" in pauses["item"]
    assert (left["kind"], left["item"]) == ("left out", "memory_region_write") and "80%" in left["note"]
    assert Unseen(Suppressed(0), {}, 4.0, 0.0).ledger() == []


def test_more_is_not_off_than_there_was() -> None:
    found = Unseen(Suppressed(), {NIC: spread([(10, 10), (10, 10)], 5)}, 2.0, 3.0)
    told = found.scaled(NIC, row(1, Count(20)), Count(20))
    assert told is not None and told.observed == 0


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=5), steady, st.integers(0, 10**6))
def test_the_ways_of_a_stage_are_scaled_as_the_stage(
    taken: list[int], frames: list[int], paused: int
) -> None:
    """Their calls are the stage's calls, and each keeps its part of them."""
    unseen = Unseen(Suppressed(), {NIC: spread([(n, n) for n in frames], paused)}, len(frames) + 1.0, 1.0)
    counted = Count(sum(taken), sum(taken), 0)
    of_stage = {"position": 0, "observed": 1.0, "windowed": False} | row(1, counted)
    other = {"direction": "tx", "position": 5, "stage": "host", "function": "writev", "calls": 7}
    ways = [
        {"direction": "tx", "position": 0, "stage": of_stage["stage"], "function": f"way_{at}", "calls": hits}
        for at, hits in enumerate(taken)
    ]
    unseen.apply(NIC, {"stages": [of_stage], "ways": [*ways, other], "ledger": []})
    assert other["calls"] == 7
    if sum(taken):
        assert sum(way["calls"] for way in ways) == of_stage["calls"]
        for way, hits in zip(ways, taken, strict=True):
            assert abs(way["calls"] - of_stage["calls"] * hits / sum(taken)) <= 1
