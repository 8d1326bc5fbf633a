"""The counts of each stage of each cell's path, over all probed repetitions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.sentence import Row, Said

__all__ = ["COLUMNS", "QUESTION", "SAYS", "analyse", "say"]

QUESTION = "How many calls, frames and bytes passed each stage?"
_KEY = [*CELL, "direction", "position", "stage", "function", "how"]
_NUMBERS = ("calls", "frames", "bytes")
COLUMNS = (*_KEY, "attached", "n", *_NUMBERS, "note", "observed", *(f"{name}_error" for name in _NUMBERS))
SAYS = {
    "all": "All {of:count} stages were counted.",
    "some": "{number:count} of {of:count} stages could not be counted; they have a dash, which is not zero.",
}


def analyse(data: Data) -> pd.DataFrame:
    """Sums over the `n` repetitions. Directions are separate: a tx cell's rx rows are its ACKs.

    `attached` is false if the stage could not be counted in at least one repetition; its counts are then
    unknown (null) and not zero. `observed` is the smallest share of the time in which a repetition counted
    the stage; below 1, counts are scaled, and `_error` is half of the sum's 95 % interval, null if it is
    unknown.
    """
    frame = data.table("stages")
    frame = frame.assign(
        attached=frame["attached"].astype(bool), note=frame["note"].astype(object).fillna("")
    )
    groups = frame.groupby(_KEY, sort=True)
    found = groups.agg(attached=("attached", "all"), n=("rep", "nunique"), observed=("observed", "min"))
    sums = groups[list(_NUMBERS)].sum()
    for column in _NUMBERS:
        found[column] = sums[column].astype(object).where(found["attached"], None)
    notes = frame[frame["note"] != ""].drop_duplicates([*_KEY, "note"]).groupby(_KEY, sort=True)["note"]
    found["note"] = notes.agg("; ".join).reindex(found.index, fill_value="")
    scaled = frame[frame["windowed"].astype(bool)]
    for name in _NUMBERS:
        found[f"{name}_error"] = _errors(scaled, f"{name}_error").reindex(found.index)
    return found.reset_index()[list(COLUMNS)]


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """The number of stages that could not be counted."""
    missing = sum(not row["attached"] for row in rows)
    if rows:
        yield ("some" if missing else "all"), {"number": missing, "of": len(rows)}


def _errors(scaled: pd.DataFrame, column: str) -> pd.Series:
    """The error of each sum of independent estimates; NaN if one of them has no interval."""
    halves = pd.to_numeric(scaled[column], errors="coerce")
    squares = scaled[_KEY].assign(square=halves.astype(float) ** 2).groupby(_KEY, sort=True)["square"]
    return squares.agg(lambda values: float(values.sum(skipna=False) ** 0.5))
