"""What each stage of each cell's path counted, over all probed repetitions."""

from __future__ import annotations

import pandas as pd

from qtrace.analyses.data import CELL, Data

__all__ = ["COLUMNS", "QUESTION", "analyse"]

QUESTION = "How many calls, frames and bytes passed each stage?"
_KEY = [*CELL, "direction", "position", "stage", "function", "how"]
COLUMNS = (*_KEY, "attached", "n", "calls", "frames", "bytes", "note")


def analyse(data: Data) -> pd.DataFrame:
    """Sums over the repetitions, with `n` of them. Directions apart: a tx cell's rx rows are its ACKs.

    `attached` is false where the stage could not be counted in at least one repetition; its counts
    are then not zero but unknown (null).
    """
    frame = data.table("stages")
    rows = []
    for key, part in frame.groupby(_KEY, sort=True):
        attached = bool(part["attached"].all())
        notes = dict.fromkeys(str(note) for note in part["note"] if isinstance(note, str) and note)
        row: dict[str, object] = dict(zip(_KEY, key, strict=True))
        row |= {"attached": attached, "n": int(part["rep"].nunique()), "note": "; ".join(notes)}
        row |= {
            column: int(part[column].sum()) if attached else None for column in ("calls", "frames", "bytes")
        }
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))
