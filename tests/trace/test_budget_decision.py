"""Keeping to a budget: what the rule decides, and that a traffic that goes on costs no more than allowed."""

from __future__ import annotations

import math

import pytest
from counted import probe, snapshot
from hypothesis import assume, given
from hypothesis import strategies as st

from qtrace.model import Direction, Role
from qtrace.trace.bpf.calibrate import Cost, Price
from qtrace.trace.budget.decision import (
    CYCLE,
    JITTER,
    LONGEST,
    SHORTEST,
    Load,
    Switching,
    dearest,
    load_of,
)
from qtrace.trace.budget.overhead_budget import UNLIMITED, Budget, cost_of, default_budget
from qtrace.trace.session.level import Level
from qtrace.trace.session.snapshot import Count, Snapshot, Stage

HIT, COLD, STEP, CALL = 2e-6, 3e-6, 4e-6, 1e-7
COST = Cost(Price(HIT, COLD, 1e-3), STEP, Price(CALL, CALL, 1e-3))


def stage(slot: int, *, how: str = "uprobe", stepped: bool = False, reason: str = "") -> Stage:
    return Stage(probe(Direction.TX, Role.SEND, f"f{slot}", slot, how, stepped=stepped), how, reason=reason)


def counted(calls: dict[int, Count], *stages: Stage, hits: int = 0, syscalls: int = 0) -> Snapshot:
    every = {(0, 1, "writev", "tap"): Count(syscalls)} if syscalls else {}
    total = hits or sum(count.calls for count in calls.values())
    by_owner = {(1, slot): count for slot, count in calls.items()}
    return snapshot(stages, by_owner, hits=total, syscalls=every)


durations = st.floats(0, 0.5)
windows = st.floats(0.001, 1)
loads = st.builds(
    lambda allowed, factor: Load(allowed * factor, allowed), st.floats(0.001, 1), st.floats(1.001, 50)
)


@given(loads, durations, durations, windows)
def test_a_cycle_takes_no_more_than_is_allowed(load: Load, on: float, off: float, window: float) -> None:
    """With the mean pause the share of a cycle is exactly what is allowed; chance moves it by a quarter."""
    switching = Switching(on, off)
    trapped = on + window + off
    mean = switching.pause(load, window, 0.5)
    assert load.taken * trapped / (trapped + mean) == pytest.approx(load.allowed)
    for chance in (0.0, 1.0):
        pause = switching.pause(load, window, chance)
        assert pause == pytest.approx(mean * (1 - JITTER + 2 * JITTER * chance))
        assert pause >= 0


@given(loads, durations, durations)
def test_a_window_is_neither_too_short_nor_too_long(load: Load, on: float, off: float) -> None:
    window = Switching(on, off).next_window(load)
    assert SHORTEST <= window <= LONGEST
    if SHORTEST < window < LONGEST:  # then window and pause are about a cycle
        whole = on + window + off + Switching(on, off).pause(load, window, 0.5)
        assert whole == pytest.approx(CYCLE)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0.05, 1), st.floats(0.001, 1))
def test_system_calls_leave_at_least_half_to_functions(
    hits: int, syscalls: int, seconds: float, share: float
) -> None:
    load = load_of(counted({0: Count(hits)}, stage(0), syscalls=syscalls), COST, seconds, share)
    assert share / 2 <= load.allowed <= share
    assert load.fits == (load.taken <= load.allowed)
    if not syscalls:
        assert load.allowed == share
    if not hits:
        assert load.fits and load.taken == 0


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.floats(0.1, 10))
def test_more_hits_never_cost_less(few: int, more: int, seconds: float) -> None:
    cheap, _ = cost_of(counted({0: Count(few)}, stage(0)), COST, seconds, seconds)
    dear, _ = cost_of(counted({0: Count(few + more)}, stage(0)), COST, seconds, seconds)
    assert 0 < cheap <= dear * (1 + 1e-9)
    assert few * HIT <= cheap * (1 + 1e-9) and cheap <= few * COLD * (1 + 1e-9)


def test_a_stepped_hit_costs_a_step_more() -> None:
    plain, _ = cost_of(counted({0: Count(100)}, stage(0)), COST, 1, 1)
    stepped, _ = cost_of(counted({0: Count(100)}, stage(0, stepped=True)), COST, 1, 1)
    assert stepped - plain == pytest.approx(100 * STEP)


def test_a_function_that_takes_most_and_tells_no_frames_is_left_out() -> None:
    quiet = counted({0: Count(9000), 1: Count(1000, 1000)}, stage(0), stage(1))
    found = dearest(quiet, COST, 1.0)
    assert found is not None and found[0].function == "f0"
    assert found[1] == pytest.approx(0.9)


@pytest.mark.parametrize(
    "calls",
    [
        {0: Count(9000, 9000), 1: Count(1000, 1000)},  # the dear one tells frames
        {0: Count(4000), 1: Count(6000, 6000)},  # less than half
        {0: Count(0), 1: Count(0)},
    ],
)
def test_nothing_else_is_left_out(calls: dict[int, Count]) -> None:
    assert dearest(counted(calls, stage(0), stage(1)), COST, 1.0) is None


def test_a_system_call_or_what_is_not_attached_is_never_left_out() -> None:
    for other in (stage(0, how="tracepoint"), stage(0, reason="not exported")):
        assert dearest(counted({0: Count(9000)}, other, hits=1), COST, 1.0) is None


@given(st.integers(1, 10**5), st.integers(1, 10**5))
def test_a_share_is_a_share(dear: int, rest: int) -> None:
    assume(dear > rest)
    found = dearest(counted({0: Count(dear), 1: Count(rest, rest)}, stage(0), stage(1)), COST, 1.0)
    assert found is not None and 0.5 < found[1] <= 1
    assert found[1] == pytest.approx(dear / (dear + rest))


@pytest.mark.parametrize(("text", "share"), [("5", 0.05), ("5%", 0.05), (" 0.5 % ", 0.005), ("100", 1.0)])
def test_a_budget_is_read(text: str, share: float) -> None:
    assert Budget.parse(text).share == pytest.approx(share)
    assert Budget.parse(str(Budget.parse(text).share * 100)).share == pytest.approx(share)


@pytest.mark.parametrize("text", ["0", "0.01", "101", "-5", "five", "", "nan%"])
def test_a_budget_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Budget.parse(text)


def test_without_a_word_only_stages_have_a_limit() -> None:
    assert default_budget(Level.STAGES).share == 0.05
    assert default_budget(Level.FULL) == default_budget(Level.COUNTS) == UNLIMITED == Budget.parse("None")
    assert math.isfinite(default_budget(Level.STAGES).share or math.inf)
