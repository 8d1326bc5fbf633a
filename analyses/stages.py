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
    rows = []
    for key, part in frame.groupby(_KEY, sort=True):
        attached = bool(part["attached"].all())
        notes = dict.fromkeys(str(note) for note in part["note"] if isinstance(note, str) and note)
        row: dict[str, object] = dict(zip(_KEY, key, strict=True))
        row |= {"attached": attached, "n": int(part["rep"].nunique()), "note": "; ".join(notes)}
        row |= {column: int(part[column].sum()) if attached else None for column in _NUMBERS}
        row |= {"observed": float(part["observed"].min())}
        scaled = part[part["windowed"].astype(bool)]
        row |= {f"{name}_error": _error(scaled[f"{name}_error"]) for name in _NUMBERS}
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """The number of stages that could not be counted."""
    missing = sum(not row["attached"] for row in rows)
    if rows:
        yield ("some" if missing else "all"), {"number": missing, "of": len(rows)}


def _error(halves: pd.Series) -> float | None:
    """The error of a sum of independent estimates; None if one of them has no interval, or all are exact."""
    if halves.empty or halves.isna().any():
        return None
    return float(halves.astype(float).pow(2).sum() ** 0.5)
