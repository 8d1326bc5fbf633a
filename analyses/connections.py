"""TCP connections of each cell, one after the other: how many a second, and how long each takes."""

from __future__ import annotations

import pandas as pd

from qtrace.analyses.methods.compare import COMPARED, compare
from qtrace.analyses.methods.data import Data

__all__ = ["COLUMNS", "QUESTION", "analyse"]

QUESTION = "How many connections a second does each cell make, and how long does one take?"
COLUMNS = COMPARED
_METRICS = ("connection_rate", "crr_p50", "crr_p90", "crr_p99")


def analyse(data: Data) -> pd.DataFrame:
    """One row a cell and metric: 1/s, then microseconds from before connect until after close. A quantile's
    row is the mean of the repetitions' own quantiles."""
    found = [frame for metric in _METRICS if not (frame := compare(data, metric)).empty]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(COLUMNS))
