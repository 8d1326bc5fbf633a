"""How long frames waited on their way, in QEMU's queues: from where they stopped to where they went on."""

from __future__ import annotations

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.histogram import TIMES
from qtrace.analyses.methods.passages import passages

__all__ = ["COLUMNS", "QUESTION", "analyse"]

QUESTION = "How long did frames wait in a queue of QEMU's before they went on?"
_KEY = [*CELL, "direction", "from_stage", "from_function", "to_stage", "to_function"]
COLUMNS = (*_KEY, "n", "count", *TIMES)


def analyse(data: Data) -> pd.DataFrame:
    """One row a pair of stages, over all repetitions; `count` frames of which it is known which one went on.

    `_ns` is interpolated within its bucket; the true value is between `_low_ns` and `_high_ns`.
    """
    return passages(data.table("waits"), _KEY)
