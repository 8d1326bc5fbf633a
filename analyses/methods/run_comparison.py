"""Two runs beside each other, cell by cell: the ratio of their values, and a verdict."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.stats import Difference, Estimate, estimate, holm, log_difference
from qtrace.errors import StoreError

__all__ = ["COMPARISON", "MARGIN", "VERDICTS", "compare_runs", "verdict_of"]

COMPARISON = (
    *CELL,
    *("metric", "unit", "first_n", "first", "second_n", "second"),
    *("ratio", "low", "high", "p", "verdict", "reason"),
)
VERDICTS = ("slower", "faster", "same", "not known")
MARGIN = 0.02  # a difference that does not matter

_ALPHA = 0.05  # of all cells together
_Cell = tuple[str, ...]
_Values = dict[_Cell, dict[int, float]]


@dataclass(frozen=True)
class _Pair:
    """One metric of one cell in both runs, as logarithms."""

    cell: _Cell
    metric: str
    unit: str
    first: Estimate
    second: Estimate
    found: Difference


def compare_runs(
    first: Data,
    second: Data,
    better: Mapping[str, str],
    *,
    metrics: Collection[str],
    margin: float = MARGIN,
    relative: bool = False,
) -> pd.DataFrame:
    """One row for each metric of `metrics` and each cell that either run has, columns `COMPARISON`. Only
    measurements without probes count.

    `better` says of a metric whether `more` or `less` of it is better; one without that is not compared.
    `ratio` is second / first of the geometric means with its 95 % interval (Welch's, on logarithms), `p` is
    corrected by Holm over all rows. The verdict is

    - `faster` or `slower` where p is below 0.05 and the ratio is further from 1 than `margin`,
    - `same` where the whole interval is within `margin` of 1,
    - `not known` otherwise; `reason` says why.

    With `relative` each value is its ratio to the baseline's in the same repetition of the same run, so that
    runs of two machines or venues can be compared. Raises StoreError where the venues differ without it.
    """
    if first.venue != second.venue and not relative:
        raise StoreError(
            f"runs of different venues cannot be compared: {first.venue} and {second.venue}",
            hint="give --relative: each run's cells are then taken against that run's own baseline",
        )
    if relative and first.baseline != second.baseline:
        named = " and ".join("+".join(data.baseline) for data in (first, second))
        raise StoreError(f"the runs have different baselines: {named}")
    pairs = []
    for metric, unit in _units(first, second).items():
        if metric in metrics and better.get(metric) in ("more", "less"):
            values = [_values(data, metric, relative=relative) for data in (first, second)]
            for cell in sorted({*values[0], *values[1]}):
                groups = [list(by_cell.get(cell, {}).values()) for by_cell in values]
                before, after = groups
                found = log_difference(before, after)
                written = "1" if relative else unit
                pairs.append(_Pair(cell, metric, written, estimate(before), estimate(after), found))
    corrected = holm([pair.found.p for pair in pairs])
    rows = [
        _row(pair, p, math.log1p(margin), better[pair.metric])
        for pair, p in zip(pairs, corrected, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(COMPARISON))


def _units(*runs: Data) -> dict[str, str]:
    """Metric -> unit, in the order in which the workloads report them."""
    units: dict[str, str] = {}
    for data in runs:
        results = data.table("results")
        units |= dict(zip(results["metric"], results["unit"], strict=True))
    return units


def _values(data: Data, metric: str, *, relative: bool) -> _Values:
    """Cell -> repetition -> the value's logarithm. Values that are not positive have none."""
    found: _Values = {}
    for row in data.metric(metric, probed=False).to_dict("records"):
        cell = tuple(str(row[column]) for column in CELL)
        by_rep = found.setdefault(cell, {})
        if row["value"] > 0:
            by_rep[int(row["rep"])] = math.log(row["value"])
    return _to_baseline(found, data.baseline) if relative else found


def _to_baseline(values: _Values, baseline: tuple[str, str]) -> _Values:
    found: _Values = {}
    for cell, by_rep in values.items():
        nic, netdev, datapath, *rest = cell
        if (netdev, datapath) != baseline:
            base = values.get((nic, *baseline, *rest), {})
            found[cell] = {rep: value - base[rep] for rep, value in by_rep.items() if rep in base}
    return found


def _row(pair: _Pair, p: float, margin: float, better: str) -> dict[str, object]:
    verdict, reason = verdict_of((pair.first.n, pair.second.n), pair.found, p, margin, better)
    numbers = {"first": pair.first.mean, "second": pair.second.mean, "ratio": pair.found.value}
    numbers |= {"low": pair.found.low, "high": pair.found.high}
    return {
        **dict(zip(CELL, pair.cell, strict=True)),
        **{name: math.exp(value) for name, value in numbers.items()},
        "metric": pair.metric,
        "unit": pair.unit,
        "first_n": pair.first.n,
        "second_n": pair.second.n,
        "p": p,
        "verdict": verdict,
        "reason": reason,
    }


def verdict_of(
    counts: tuple[int, int], found: Difference, p: float, margin: float, better: str
) -> tuple[str, str]:
    """One of `VERDICTS`, and why it is not known. `counts` are the numbers of values, `p` is corrected for
    there being many differences, `margin` is a logarithm; `better` is `more` or `less`."""
    if 0 in counts:
        return "not known", "measured in one of the runs only" if any(counts) else "measured in neither run"
    if 1 in counts:
        return "not known", "one repetition has no interval"
    if p < _ALPHA and abs(found.value) > margin:
        return ("faster" if (found.value > 0) == (better == "more") else "slower"), ""
    if -margin <= found.low and found.high <= margin:
        return "same", ""
    if found.low <= 0 <= found.high:
        return "not known", "the interval holds 1 and more than the margin"
    if p < _ALPHA:
        return "not known", "they differ, by more or by less than the margin"
    return "not known", "among so many cells one may differ as much by chance"
