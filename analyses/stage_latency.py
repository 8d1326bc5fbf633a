"""Time between neighbouring stages, from the kernel's log2 histograms."""

from __future__ import annotations

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.histogram import TIMES
from qtrace.analyses.methods.passages import passages

__all__ = ["COLUMNS", "QUESTION", "analyse"]

QUESTION = "How long does a frame take from one stage to the next (p50, p90, p99)?"
_KEY = [*CELL, "direction", "from_stage", "from_function", "to_stage", "to_function"]
COLUMNS = (*_KEY, "n", "count", *TIMES)


def analyse(data: Data) -> pd.DataFrame:
    """One row for each edge; the repetitions' histograms are added, `count` is the number of passages.

    `_ns` is interpolated within its bucket; the true value is between `_low_ns` and `_high_ns`.
    """
    return passages(data.table("edges"), _KEY)
