"""The time that frames waited in QEMU's queues, from the stage where they stopped to the next one."""

from __future__ import annotations

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.histogram import TIMES
from qtrace.analyses.methods.passages import passages

__all__ = ["COLUMNS", "QUESTION", "analyse"]

QUESTION = "How long did frames wait in QEMU's queues before they went on?"
_KEY = [*CELL, "direction", "from_stage", "from_function", "to_stage", "to_function"]
COLUMNS = (*_KEY, "n", "count", *TIMES)


def analyse(data: Data) -> pd.DataFrame:
    """One row for each pair of stages, over all repetitions; `count` has only frames that were identified
    behind the queue.

    `_ns` is interpolated within its bucket; the true value is between `_low_ns` and `_high_ns`.
    """
    return passages(data.table("waits"), _KEY)
