"""Decides what a campaign measures next: pure logic, from the plan and what has been taken so far.

The plan's own repetitions come first. With a `precision`, round follows round: each has the cells whose ratio
to the baseline is not yet known well enough, and the baselines of their blocks, twice, because a ratio is
paired within a round. All of it is a function of what was taken, so a resumed run goes on as it would have.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from qtrace.analyses.methods.stats import Estimate, ratio
from qtrace.campaign.plan import Block, Job, Plan
from qtrace.lab.workload.workload import workloads
from qtrace.model import Cell

__all__ = ["Reached", "Taken", "due", "reached", "taken_of"]

_MOST_ROUNDS = 1000
# After this many failed measurements a cell, or its baseline, is not measured beyond the plan's repetitions.
_MOST_FAILURES = 3


@dataclass(frozen=True, slots=True)
class Taken:
    """A measurement that is recorded: its cell's id, and its metrics by name."""

    cell: str
    rep: int
    probed: bool
    seconds: float
    ok: bool = True
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reached:
    """How well the ratio of one metric of a cell to its baseline is known.

    `half_width` is half the 95 % interval as a share of the ratio, None without an interval. `seconds` is the
    time that the cell's measurements took. `reason` says why it is no narrower where it was not `reached`.
    """

    cell: str
    metric: str
    n: int
    ratio: float | None
    half_width: float | None
    seconds: float
    reached: bool
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def taken_of(rows: Iterable[Mapping[str, Any]]) -> tuple[Taken, ...]:
    """What the rows of a run's table `results` say was taken."""
    found: dict[tuple[str, int, bool], list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["cell"], row["rep"], row["probed"]), []).append(row)
    return tuple(
        Taken(
            *key,
            seconds=max(row["seconds"] or 0.0 for row in mine),
            ok=all(row["status"] == "ok" for row in mine),
            metrics={row["metric"]: row["value"] for row in mine if row["value"] is not None},
        )
        for key, mine in found.items()
    )


def due(plan: Plan, blocks: Collection[str], taken: Sequence[Taken]) -> tuple[Job, ...]:
    """The measurements to take next, in order: the rest of the plan's repetitions, or of the first round
    after them that is not complete. Empty when the campaign is over."""
    done = {(one.cell, one.rep, one.probed) for one in taken}
    jobs = plan.jobs(blocks)
    order = 0
    for rep in itertools.count(plan.repetitions + 1):
        if rest := tuple(job for job in jobs if (job.cell.id, job.rep, job.probed) not in done):
            return rest
        order += len(jobs)
        before = [one for one in taken if one.rep < rep]
        jobs = _round(plan, blocks, rep, order, before) if plan.precision else ()
        if not jobs:
            break
    return ()


def reached(plan: Plan, blocks: Collection[str], taken: Sequence[Taken]) -> list[Reached]:
    """For each cell but the baselines, and each metric that its workload is judged by: how well its ratio is
    known. Empty for a plan without a precision."""
    if not plan.precision:
        return []
    by_cell = _by_cell(taken)
    return [
        found
        for block in plan.chosen(blocks)
        for cell in block.cells
        if cell != block.baseline
        for found in _judged(plan, block, cell, by_cell)
    ]


def _round(
    plan: Plan, blocks: Collection[str], rep: int, order: int, taken: Sequence[Taken]
) -> tuple[Job, ...]:
    """Without probes: what they count needs no more repetitions than the plan names."""
    by_cell = _by_cell(taken)
    cells: list[Cell] = []
    for block in plan.chosen(blocks):
        others = [cell for cell in block.cells if cell != block.baseline]
        wide = [cell for cell in others if _goes_on(_judged(plan, block, cell, by_cell))]
        if wide and block.baseline and block.again:
            cells += [block.baseline, block.again, *wide]
    shuffled = random.Random(f"{plan.seed} {rep}").sample(cells, len(cells))
    return tuple(Job(cell, rep, False, order + number) for number, cell in enumerate(shuffled))


def _goes_on(found: Sequence[Reached]) -> bool:
    """A metric is too wide, and nothing says that it must stay so."""
    return any(not one.reached for one in found) and not any(one.reason for one in found)


def _judged(plan: Plan, block: Block, cell: Cell, by_cell: Mapping[str, Sequence[Taken]]) -> list[Reached]:
    mine = by_cell.get(cell.id, ())
    base = by_cell.get(block.baseline.id, ()) if block.baseline else ()
    seconds = sum(one.seconds for one in mine)
    reason = _end(plan, block, mine, base)
    found = []
    for metric in workloads()[cell.workload].metrics:
        if metric.headline:
            pairs = _pairs(metric.name, mine, base)
            known = ratio([pair for _, pair in pairs])
            narrow = _is_narrow(plan, pairs)
            found.append(
                Reached(
                    cell.id,
                    metric.name,
                    known.n,
                    known.mean if known.n else None,
                    _half_width(known),
                    round(seconds, 3),
                    narrow,
                    "" if narrow else reason,
                )
            )
    return found


_Pairs = list[tuple[int, tuple[float, float]]]  # repetition, (the cell's value, the baseline's)


def _pairs(metric: str, mine: Sequence[Taken], base: Sequence[Taken]) -> _Pairs:
    values = [
        {one.rep: one.metrics[metric] for one in group if one.ok and not one.probed and metric in one.metrics}
        for group in (mine, base)
    ]
    return [(rep, (values[0][rep], values[1][rep])) for rep in sorted(values[0].keys() & values[1].keys())]


def _is_narrow(plan: Plan, pairs: _Pairs) -> bool:
    """Half the interval is within the precision: after the plan's repetitions once, later in two rounds that
    follow each other. Few values are often alike by chance, and who stops at the first narrow interval stops
    at those (tests/campaign/test_rounds.py says how often the interval at which one stops must cover)."""
    last = pairs[-1][0] if pairs else 0
    looks = [pairs] if last <= plan.repetitions else [pairs, pairs[:-1]]
    widths = [_half_width(ratio([pair for _, pair in some])) for some in looks]
    return all(width is not None and width <= (plan.precision or 0) for width in widths)


def _half_width(known: Estimate) -> float | None:
    return (known.high - known.low) / 2 / known.mean if known.n > 1 else None


def _end(plan: Plan, block: Block, mine: Sequence[Taken], base: Sequence[Taken]) -> str:
    """Why a cell is not measured on, whatever its interval; empty if it can be."""
    if not block.baseline:
        return "the plan has no baseline for it"
    for whose, group in (("its", mine), ("its baseline's", base)):
        if (failed := sum(not one.ok for one in group)) >= _MOST_FAILURES:
            return f"{failed} of {whose} measurements failed"
    plain = [one.seconds for one in mine if not one.probed]
    if len(plain) >= _MOST_ROUNDS:
        return f"it was repeated {len(plain)} times"
    if plain and sum(one.seconds for one in mine) + max(plain) > plan.at_most:
        return f"its {plan.at_most:g} s are up"
    return ""


def _by_cell(taken: Iterable[Taken]) -> dict[str, list[Taken]]:
    found: dict[str, list[Taken]] = {}
    for one in taken:
        found.setdefault(one.cell, []).append(one)
    return found
