"""A/A: each block's baseline measured a second time under another name, against the first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data, headlines
from qtrace.analyses.methods.run_comparison import MARGIN
from qtrace.analyses.methods.sentence import Row, Said
from qtrace.analyses.methods.stats import Difference, holm, paired_difference

__all__ = ["COLUMNS", "MARGIN", "QUESTION", "SAYS", "analyse", "say"]

QUESTION = "What difference does the same thing show when it is measured twice?"
COLUMNS = (*CELL, "metric", "n", "ratio", "low", "high", "p", "verdict")
_ALPHA = 0.05  # of all rows together
SAYS = {
    "same": "The same thing measured twice was called different in none of {of:count} comparisons.",
    "different": "The same thing measured twice was called different in {number:count} of {of:count} "
    "comparisons, most on {cell:cell}: {ratio:times}.",
}


def analyse(data: Data) -> pd.DataFrame:
    """One row for each baseline and headline metric: the second measurement over the first, paired by round.

    `verdict` is `different` where p, corrected by Holm over all rows, is below 0.05 and the ratio is further
    from 1 than 2 %; `same` where the whole interval is within 2 %; else `not known`.
    """
    rows: list[dict[str, object]] = []
    found: list[Difference] = []
    for metric in headlines(data):
        both = data.metric(metric, probed=False).merge(
            data.metric(metric, probed=False, again=True), on=[*CELL, "rep"], suffixes=("", "_again")
        )
        for key, part in both.groupby(CELL, sort=True):
            pairs = list(zip(part["value_again"].map(float), part["value"].map(float), strict=True))
            one = paired_difference(pairs)
            found.append(one)
            row: dict[str, object] = dict(zip(CELL, key, strict=True))
            ends = {"ratio": one.value, "low": one.low, "high": one.high}
            rows.append(row | {"metric": metric, "n": len(pairs)} | {k: math.exp(v) for k, v in ends.items()})
    for row, one, p in zip(rows, found, holm([one.p for one in found]), strict=True):
        row |= {"p": p, "verdict": _verdict(one, p)}
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _verdict(found: Difference, p: float) -> str:
    margin = math.log1p(MARGIN)
    if p < _ALPHA and abs(found.value) > margin:
        return "different"
    return "same" if -margin <= found.low and found.high <= margin else "not known"


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """How often the same thing was called different."""
    differing = [row for row in rows if row["verdict"] == "different"]
    if differing:
        row = max(differing, key=lambda row: abs(math.log(row["ratio"])))
        yield "different", {"number": len(differing), "of": len(rows), "cell": row, "ratio": row["ratio"]}
    elif rows:
        yield "same", {"of": len(rows)}
