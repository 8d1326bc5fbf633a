"""Warm-up, drift and outliers: whether the machine was the same from the first repetition to the last."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from qtrace.analyses.methods.data import Data, headlines
from qtrace.analyses.methods.sentence import Row, Said
from qtrace.analyses.methods.stats import holm, t_probability, t_quantile

__all__ = ["COLUMNS", "DRIFT", "OUTLIER", "QUESTION", "SAYS", "WARM_UP", "analyse", "say"]

QUESTION = "Was the machine the same throughout: is there a warm-up, a drift, an outlier?"
COLUMNS = (*("kind", "way", "workload", "nic", "netdev", "datapath", "metric"),
           *("rep", "n", "ratio", "low", "high", "p", "told"))  # fmt: skip
WARM_UP, DRIFT, OUTLIER = "warm-up", "drift", "outlier"
_LEAST = math.log1p(0.02)  # a change nearer to none changes no answer
_ALPHA = 0.05  # of all rows of a kind together
SAYS = {
    "steady": "No warm-up, drift or outlier is told.",
    "told": "Told: {kinds}. The largest is a change of {ratio:times} ({kind}, {metric}, {traffic}).",
}
_PLACE = ["nic", "netdev", "datapath"]  # of one traffic's cell
_FEWEST = 3  # values of which one may be an outlier


def analyse(data: Data) -> pd.DataFrame:
    """Of measurements without probes, on logarithms; nothing is left out of any other answer.

    For each traffic (direction and workload) the cells together give two rows: `warm-up` is the ratio of the
    first repetition to what the others make expect, `drift` that of the last moment to the first of the
    others (least squares with a level for each cell). For each cell the value that is furthest from its
    others is an `outlier` (Grubbs) if it is `told`; only such rows are listed. `p` is corrected by Holm over
    all rows of its kind, `told` where it is below 0.05 and the change is more than 2 %.
    """
    values = pd.concat([_values(data, metric) for metric in headlines(data)] or [pd.DataFrame()])
    if values.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    shared, outliers = [], []
    for key, part in values.groupby(["way", "workload", "metric"], sort=True):
        about = dict(zip(("way", "workload", "metric"), key, strict=True))
        shared += [about | row for row in _trends(part)]
        logs, reps = part["log"].to_numpy(), part["rep"].to_numpy()
        for cell, at in sorted(part.groupby(_PLACE).indices.items()):
            assert isinstance(cell, tuple)
            if len(at) >= _FEWEST:
                outliers.append(about | dict(zip(_PLACE, cell, strict=True)) | _furthest(logs[at], reps[at]))
    rows = [row for kind in (WARM_UP, DRIFT) for row in _told([one for one in shared if one["kind"] == kind])]
    rows += [row for row in _told(outliers) if row["told"]]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _values(data: Data, metric: str) -> pd.DataFrame:
    """`CELL`, metric, rep, when (s), log."""
    found = data.metric(metric, probed=False)
    results = data.table("results")
    begun = results[~results["probed"].astype(bool)].drop_duplicates(["cell", "rep"])
    found = found[found["value"] > 0].merge(begun[["cell", "rep", "started"]], on=["cell", "rep"])
    found = found.rename(columns={"started": "when"}).assign(
        metric=metric, log=np.log(found["value"].to_numpy())
    )
    return found[found["when"].notna()]


def _trends(values: pd.DataFrame) -> Iterator[dict[str, object]]:
    """The two rows of one traffic; none where there are too few values to tell."""
    cell = ["nic", "netdev", "datapath"]
    values = values.assign(
        first=(values["rep"] == values.groupby(cell)["rep"].transform("min")).astype(float),
        when=values["when"] - values["when"].min(),
    )
    rest = values[values["first"] == 0]
    span = float(rest["when"].max() - rest["when"].min()) if len(rest) else 0.0
    level = values[["first", "when", "log"]] - values.groupby(cell)[["first", "when", "log"]].transform(
        "mean"
    )
    terms, logs = level[["first", "when"]].to_numpy(), level["log"].to_numpy()
    freedom = len(values) - values.groupby(cell).ngroups - 2
    if freedom < 1 or not span or np.linalg.matrix_rank(terms) < 2:
        return
    found = np.linalg.lstsq(terms, logs, rcond=None)[0]
    variance = float(np.sum((logs - terms @ found) ** 2)) / freedom
    errors = np.sqrt(variance * np.diag(np.linalg.inv(terms.T @ terms)))
    for kind, scale, change, error in zip((WARM_UP, DRIFT), (1.0, span), found, errors, strict=True):
        middle, half = float(change) * scale, t_quantile(0.975, freedom) * float(error) * scale
        p = 1 - t_probability(abs(middle) / (float(error) * scale), freedom) if error else float("nan")
        ends = {"ratio": middle, "low": middle - half, "high": middle + half}
        yield {"kind": kind, "n": len(values), "p": p} | {name: math.exp(end) for name, end in ends.items()}


def _furthest(logs: np.ndarray, reps: np.ndarray) -> dict[str, object]:
    """The value furthest from its others, and how seldom one of so many is as far by chance."""
    n = len(logs)
    at = int(np.argmax(np.abs(logs - logs.mean())))
    others = np.delete(logs, at)
    away, spread = float(logs[at] - others.mean()), float(others.std(ddof=1)) * math.sqrt(n / (n - 1))
    p = min(1.0, n * (1 - t_probability(abs(away) / spread, n - 2))) if spread else float("nan")
    return {"kind": OUTLIER, "rep": int(reps[at]), "n": n, "ratio": math.exp(away), "p": p}


def _told(rows: list[dict[str, object]]) -> Iterator[dict[str, object]]:
    corrected = holm([float(str(row["p"])) for row in rows])
    for row, p in zip(rows, corrected, strict=True):
        far = abs(math.log(float(str(row["ratio"])))) > _LEAST
        yield row | {"p": p, "told": bool(p < _ALPHA and far)}


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """How many of each kind are told, and the largest."""
    told = [row for row in rows if row["told"]]
    if told:
        row = max(told, key=lambda row: abs(math.log(row["ratio"])))
        kinds = [str(row["kind"]) for row in told]
        counts = ", ".join(f"{kind} {kinds.count(kind)}" for kind in dict.fromkeys(kinds))
        about = {"kind": row["kind"], "metric": row["metric"], "traffic": f"{row['workload']} {row['way']}"}
        yield "told", {"kinds": counts, "ratio": row["ratio"]} | about
    elif rows:
        yield "steady", {}
