"""Estimates of a metric for each cell, and its ratio to the baseline cell in the same repetition."""

from __future__ import annotations

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.stats import geometric, ratio

__all__ = ["COMPARED", "compare"]

COMPARED = (*CELL, "metric", "n", "mean", "low", "high", "ratio", "ratio_low", "ratio_high", "ratio_n")


def compare(data: Data, metric: str) -> pd.DataFrame:
    """One row for each cell: geometric mean of the unprobed repetitions, and ratio to the baseline of the
    same NIC, workload and direction. The baseline's own ratio is 1 without an interval."""
    frame = data.metric(metric, probed=False)
    values: dict[tuple[str, ...], dict[int, float]] = {}
    for *cell, rep, value in frame[[*CELL, "rep", "value"]].itertuples(index=False, name=None):
        values.setdefault(tuple(map(str, cell)), {})[int(rep)] = float(value)
    netdev, datapath = data.baseline
    rows = []
    for key, by_rep in sorted(values.items()):
        nic, _, _, way, workload = key
        base_key = (nic, netdev, datapath, way, workload)
        base = values.get(base_key, {})
        mean = geometric(list(by_rep.values()))
        row = dict(zip(CELL, key, strict=True)) | {"metric": metric, "n": mean.n, "mean": mean.mean}
        row |= {"low": mean.low, "high": mean.high}
        if key == base_key:
            row |= {"ratio": 1.0, "ratio_low": None, "ratio_high": None, "ratio_n": mean.n}
        else:
            times = ratio([(value, base[rep]) for rep, value in by_rep.items() if rep in base])
            row |= {"ratio": times.mean, "ratio_low": times.low, "ratio_high": times.high}
            row["ratio_n"] = times.n
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COMPARED))
