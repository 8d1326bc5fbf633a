"""What is measured next, without a guest: rounds go on until ratios are known well enough (drawn values)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qtrace.analyses.methods.stats import ratio
from qtrace.campaign.plan import Job, Plan, load_plan
from qtrace.campaign.rounds import Taken, due, reached, taken_of

PLAN = """
name = "x"
repetitions = 3
precision = 0.05
at_most = 100
[[cells]]
nic = "e1000"
netdev = "tap"
workloads = ["tcp"]
[[cells]]
nic = "e1000"
netdev = "user"
workloads = ["tcp"]
"""
TX, RX = "e1000+tx+tcp", "e1000+rx+tcp"
TAP, USER = "e1000+tap+qemu+tx+tcp", "e1000+user+qemu+tx+tcp"

Value = Callable[[Job], float]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "plan.toml").write_text(PLAN)
    return load_plan(str(tmp_path / "plan.toml"))


def take(job: Job, value: float | None, seconds: float = 2.0) -> Taken:
    metrics = {} if value is None else {"throughput": value}
    return Taken(job.cell.id, job.rep, job.probed, seconds, value is not None, metrics)


def carried_out(
    plan: Plan, value: Callable[[Job], float | None], blocks: tuple[str, ...] = ()
) -> list[Taken]:
    taken: list[Taken] = []
    while jobs := due(plan, blocks, taken):
        taken += [take(job, value(job)) for job in jobs]
    return taken


def spread(sigma: float, seed: int = 1) -> Value:
    rng = np.random.default_rng(seed)
    return lambda job: float(rng.lognormal(0, 0 if job.cell.way == "rx" else sigma))


def test_a_plan_without_a_precision_ends_with_its_repetitions(plan: Plan) -> None:
    plan = replace(plan, precision=None)
    taken = carried_out(plan, spread(0.5))
    assert len(taken) == len(plan.jobs()) and reached(plan, (), taken) == []


def test_only_what_is_wide_goes_on_with_its_baseline_and_that_once_more(plan: Plan) -> None:
    taken = carried_out(plan, spread(0.1))
    beyond = [one for one in taken if one.rep > plan.repetitions]
    last = max(one.rep for one in beyond)
    assert last > plan.repetitions + 1 and not any(one.probed for one in beyond)
    for rep in range(plan.repetitions + 1, last + 1):
        assert sorted(one.cell for one in beyond if one.rep == rep) == [TAP, f"{TAP}+again", USER]
    orders = {tuple(one.cell for one in beyond if one.rep == rep) for rep in range(4, last + 1)}
    assert len(orders) > 1, "the order within a round is shuffled"
    found = {one.cell: one for one in reached(plan, (), taken)}
    assert set(found) == {USER, USER.replace("+tx+", "+rx+")}
    assert all(one.reached and not one.reason and (one.half_width or 0) <= 0.05 for one in found.values())
    assert found[USER].n == last and found[USER].ratio


def test_what_is_not_reached_says_so_and_why(plan: Plan) -> None:
    taken = carried_out(plan, spread(1.0), (TX,))
    (found,) = reached(plan, (TX,), taken)
    assert not found.reached and found.reason == "its 100 s are up" and (found.half_width or 0) > 0.05
    assert 96 < found.seconds <= 100 and found.n == (100 - 3 * 4) // 2 + 3


def test_a_cell_that_fails_is_given_up(plan: Plan) -> None:
    wide = spread(0.3)
    taken = carried_out(plan, lambda job: None if job.cell.id == USER else wide(job), (TX,))
    assert max(one.rep for one in taken) == plan.repetitions
    (found,) = reached(plan, (TX,), taken)
    assert (found.n, found.ratio, found.half_width) == (0, None, None)
    assert found.reason == "6 of its measurements failed"
    taken = carried_out(plan, lambda job: None if job.cell.id == TAP and job.rep > 3 else wide(job), (TX,))
    assert max(one.rep for one in taken) == plan.repetitions + 3
    assert reached(plan, (TX,), taken)[0].reason == "3 of its baseline's measurements failed"


def test_without_a_baseline_nothing_can_be_reached(plan: Plan) -> None:
    plan = replace(plan, cells=tuple(cell for cell in plan.cells if cell.netdev == "user"))
    taken = carried_out(plan, spread(0.3))
    assert len(taken) == 2 * 3 * 2
    assert {one.reason for one in reached(plan, (), taken)} == {"the plan has no baseline for it"}


def test_a_resumed_campaign_measures_what_it_would_have(plan: Plan) -> None:
    """Interrupted anywhere, within a later round too: the rest is the same, in the same order."""
    whole = carried_out(plan, value := by_job(1))
    keys = [(one.cell, one.rep, one.probed) for one in whole]
    assert max(one.rep for one in whole) > plan.repetitions + 2 and set(Counter(keys).values()) == {1}
    for kept in range(0, len(whole), 9):
        taken = whole[:kept]
        while jobs := due(plan, (), taken):
            assert [job.order for job in jobs] == [*range(len(taken), len(taken) + len(jobs))]
            taken += [take(job, value(job)) for job in jobs]
        assert taken == whole


def by_job(seed: int) -> Value:
    """The same value for the same measurement, whenever it is taken."""

    def value(job: Job) -> float:
        rng = np.random.default_rng([seed, job.rep, job.probed, *job.cell.id.encode()])
        return float(rng.lognormal(0, 0.1))

    return value


def test_blocks_measured_apart_decide_as_the_whole_plan_does(plan: Plan) -> None:
    whole = carried_out(plan, value := by_job(5))
    apart = [one for block in (TX, RX) for one in carried_out(plan, value, (block,))]
    assert sorted(whole, key=repr) == sorted(apart, key=repr)


def test_what_was_taken_is_read_from_the_results_of_a_run() -> None:
    row = {"cell": USER, "rep": 2, "probed": False, "seconds": 2.5, "status": "ok"}
    rows = [row | {"metric": "throughput", "value": 7.0}, row | {"metric": "bytes", "value": 3.0}]
    rows.append(row | {"rep": 3, "status": "failed", "metric": "none", "value": None, "seconds": 0.1})
    assert taken_of(rows) == (
        Taken(USER, 2, False, 2.5, True, {"throughput": 7.0, "bytes": 3.0}),
        Taken(USER, 3, False, 0.1, False, {}),
    )


@pytest.mark.parametrize("sigma", [0.05, 0.2])
def test_an_interval_at_which_one_stops_still_covers(plan: Plan, sigma: float) -> None:
    """At least 92 % of the times: who may stop early stops where values are alike by chance, which takes up
    to three of the 95. Drawn as the campaign decides, 250 times for each spread."""
    plan = replace(plan, precision=0.1, at_most=3600)
    rng, covered, draws = np.random.default_rng(9), 0, 250
    for _ in range(draws):
        pairs: list[tuple[float, float]] = []
        taken: list[Taken] = []
        while jobs := due(plan, (TX,), taken):
            taken += [take(job, float(rng.lognormal(0, sigma / math.sqrt(2)))) for job in jobs]
        values = {(one.cell, one.rep): one.metrics["throughput"] for one in taken if not one.probed}
        pairs = [(values[USER, rep], values[TAP, rep]) for rep in range(1, max(one.rep for one in taken) + 1)]
        found = ratio(pairs)
        covered += found.low <= 1 <= found.high
    # Less three times the deviation of such a count.
    assert covered / draws >= 0.92 - 3 * math.sqrt(0.92 * 0.08 / draws)
