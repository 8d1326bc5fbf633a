"""Round-trip times of each cell (microseconds), measured without probes."""

from __future__ import annotations

import pandas as pd

from qtrace.analyses.methods.compare import COMPARED, compare
from qtrace.analyses.methods.data import Data

__all__ = ["COLUMNS", "QUESTION", "analyse"]

QUESTION = "How long does a round trip take in each cell, and how does that compare with the baseline?"
COLUMNS = COMPARED
_METRICS = ("rtt_p50", "rtt_mean", "rtt_p90", "rtt_p99")


def analyse(data: Data) -> pd.DataFrame:
    """One row for each cell and metric. A quantile is the geometric mean of the repetitions' own."""
    found = [frame for metric in _METRICS if not (frame := compare(data, metric)).empty]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(COLUMNS))
