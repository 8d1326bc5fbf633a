"""The cost of the probes: each cell with probes compared with the same cell without, paired by repetition."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.plain_and_probed import compared
from qtrace.analyses.methods.sentence import Row, Said
from qtrace.analyses.methods.stats import geometric, ratio
from qtrace.analyses.methods.traffic_change import changes, is_only_a_cost

__all__ = ["COLUMNS", "QUESTION", "SAYS", "analyse", "say"]

QUESTION = "What do the probes cost?"
COLUMNS = (*CELL, "metric", "n", "plain", "probed", "ratio", "ratio_low", "ratio_high", "changed")
SAYS = {
    "most": "Probes change a metric most on {cell:cell} ({way}): {metric} is {ratio:times} that without them "
    "({ends:ends}).",
    "changed": "In {number:count} comparisons there is no cost to read, because probing changed the traffic.",
}


def analyse(data: Data) -> pd.DataFrame:
    """Ratios of probed to plain: below 1 for throughput, or above 1 for round-trip times, means a cost.

    Where probing changed the traffic there is no ratio: `changed` describes the change, else it is empty.
    """
    changed = {
        key: "; ".join(map(str, found))
        for key, measures in compared(data).items()
        if not is_only_a_cost(found := changes(measures))
    }
    rows = []
    for metric in ("throughput", "rtt_p50"):
        plain, probed = data.metric(metric, probed=False), data.metric(metric, probed=True)
        pairs = plain.merge(probed, on=[*CELL, "cell", "rep"], suffixes=("_plain", "_probed"))
        for key, part in pairs.groupby(CELL, sort=True):
            without = [float(value) for value in part["value_plain"]]
            with_probes = [float(value) for value in part["value_probed"]]
            cost = ratio(list(zip(with_probes, without, strict=True)))
            row: dict[str, object] = dict(zip(CELL, key, strict=True))
            row |= {"metric": metric, "n": cost.n, "plain": geometric(without).mean}
            row |= {"probed": geometric(with_probes).mean, "ratio": cost.mean}
            row |= {"ratio_low": cost.low, "ratio_high": cost.high, "changed": ""}
            if why := changed.get(tuple(map(str, key))):
                row |= {"ratio": None, "ratio_low": None, "ratio_high": None, "changed": why}
            rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """The largest cost, and where there is none to read."""
    known = [row for row in rows if row["ratio"] and row["ratio_low"] and row["ratio_high"]]
    if known:
        row = max(known, key=lambda row: abs(math.log(row["ratio"])))
        about = {
            "metric": row["metric"],
            "ratio": row["ratio"],
            "ends": (row["ratio_low"], row["ratio_high"]),
        }
        yield "most", {"cell": row, "way": row["way"]} | about
    if changed := sum(bool(row["changed"]) for row in rows):
        yield "changed", {"number": changed}
