"""Time between neighbouring stages, from the kernel's log2 histograms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.histogram import TIMES
from qtrace.analyses.methods.passages import passages
from qtrace.analyses.methods.sentence import Row, Said, extremes

__all__ = ["COLUMNS", "QUESTION", "SAYS", "analyse", "say"]

QUESTION = "How long does a frame take from one stage to the next (p50, p90, p99)?"
_KEY = [*CELL, "direction", "from_stage", "from_function", "to_stage", "to_function"]
COLUMNS = (*_KEY, "n", "count", *TIMES)
SAYS = {
    "longest": "The longest passage is {from_stage} → {to_stage} on {cell:cell} ({direction}): half of "
    "{count:count} take more than {time:ns}.",
}


def analyse(data: Data) -> pd.DataFrame:
    """One row for each edge; the repetitions' histograms are added, `count` is the number of passages.

    `_ns` is interpolated within its bucket; the true value is between `_low_ns` and `_high_ns`.
    """
    return passages(data.table("edges"), _KEY)


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """The passage with the longest median."""
    between = [row for row in rows if row["from_stage"] and row["to_stage"]]
    if found := extremes(between, "p50_ns"):
        row = found[1]
        about = {name: row[name] for name in ("from_stage", "to_stage", "direction", "count")}
        yield "longest", {"cell": row, "time": row["p50_ns"]} | about
