"""The cost of the probes: each cell with probes compared with the same cell without, paired by repetition."""

from __future__ import annotations

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.stats import estimate, ratio

__all__ = ["COLUMNS", "QUESTION", "analyse"]

QUESTION = "What do the probes cost?"
COLUMNS = (*CELL, "metric", "n", "plain", "probed", "ratio", "ratio_low", "ratio_high")


def analyse(data: Data) -> pd.DataFrame:
    """Ratios of probed to plain: below 1 for throughput, or above 1 for round-trip times, means a cost."""
    rows = []
    for metric in ("throughput", "rtt_p50"):
        plain, probed = data.metric(metric, probed=False), data.metric(metric, probed=True)
        pairs = plain.merge(probed, on=[*CELL, "cell", "rep"], suffixes=("_plain", "_probed"))
        for key, part in pairs.groupby(CELL, sort=True):
            without = [float(value) for value in part["value_plain"]]
            with_probes = [float(value) for value in part["value_probed"]]
            cost = ratio(list(zip(with_probes, without, strict=True)))
            row: dict[str, object] = dict(zip(CELL, key, strict=True))
            row |= {"metric": metric, "n": cost.n, "plain": estimate(without).mean}
            row |= {"probed": estimate(with_probes).mean, "ratio": cost.mean}
            row |= {"ratio_low": cost.low, "ratio_high": cost.high}
            rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))
