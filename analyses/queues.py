"""The frames of each queue of a NIC with several queues."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.sentence import Row, Said

__all__ = ["COLUMNS", "QUESTION", "SAYS", "analyse", "say"]

QUESTION = "How are a NIC's frames distributed over its queues?"
_STAGE = [*CELL, "direction", "position", "stage", "function", "netdev_id"]
_SUMS = ["calls", "frames", "bytes"]
COLUMNS = (*_STAGE, "queue", "n", *_SUMS, "share")
SAYS = {
    "busiest": "The busiest queue is {queue:count} of {cell:cell}: {share:percent} of what passes "
    "{stage} ({direction}).",
}


def analyse(data: Data) -> pd.DataFrame:
    """One row for each queue and stage, summed over the `n` repetitions.

    `share` is of the stage's frames, or of its calls for a stage that counts no frames (kick, interrupt).
    """
    rows = data.table("queues")
    found = rows.groupby([*_STAGE, "queue"], as_index=False)[_SUMS].sum()
    found["n"] = rows.groupby([*_STAGE, "queue"])["rep"].nunique().to_numpy()
    whole = found.groupby(_STAGE)[["frames", "calls"]].transform("sum")
    by_frames = found["frames"] / whole["frames"].where(whole["frames"] > 0)
    found["share"] = by_frames.fillna(found["calls"] / whole["calls"].where(whole["calls"] > 0))
    return found[list(COLUMNS)]


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """The queue with the largest share."""
    known = [row for row in rows if row["share"] is not None and row["stage"]]
    if known:
        row = max(known, key=lambda row: float(row["share"]))
        about = {name: row[name] for name in ("queue", "share", "stage", "direction")}
        yield "busiest", {"cell": row} | about
