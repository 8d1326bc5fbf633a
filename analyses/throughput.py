"""TCP throughput of each cell (bit/s), measured without probes."""

from __future__ import annotations

import pandas as pd

from qtrace.analyses.methods.compare import COMPARED, compare
from qtrace.analyses.methods.data import Data

__all__ = ["COLUMNS", "QUESTION", "analyse"]

QUESTION = "How fast is TCP in each cell, and how does that compare with the baseline?"
COLUMNS = COMPARED


def analyse(data: Data) -> pd.DataFrame:
    """Geometric mean in bit/s of the repetitions with its 95 % interval, and the paired ratio to the
    baseline."""
    return compare(data, "throughput")
