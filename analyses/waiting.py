"""The time that frames waited in QEMU's queues, from the stage where they stopped to the next one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.histogram import TIMES
from qtrace.analyses.methods.passages import passages
from qtrace.analyses.methods.sentence import Row, Said, extremes

__all__ = ["COLUMNS", "QUESTION", "SAYS", "analyse", "say"]

QUESTION = "How long did frames wait in QEMU's queues before they went on?"
_KEY = [*CELL, "direction", "from_stage", "from_function", "to_stage", "to_function"]
COLUMNS = (*_KEY, "n", "count", *TIMES)
SAYS = {
    "some": "Frames that waited in a queue: {count:count}; the longest median is {time:ns}, {from_stage} → "
    "{to_stage} on {cell:cell}.",
}


def analyse(data: Data) -> pd.DataFrame:
    """One row for each pair of stages, over all repetitions; `count` has only frames that were identified
    behind the queue.

    `_ns` is interpolated within its bucket; the true value is between `_low_ns` and `_high_ns`.
    """
    return passages(data.table("waits"), _KEY)


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """The number, and the longest median."""
    if found := extremes(rows, "p50_ns"):
        row = found[1]
        about = {
            "time": row["p50_ns"],
            "from_stage": row["from_stage"],
            "to_stage": row["to_stage"],
            "cell": row,
        }
        yield "some", {"count": sum(int(one["count"]) for one in rows)} | about
