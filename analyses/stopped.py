"""Frames that stopped on their way: the stage at which they stopped, and the reason."""

from __future__ import annotations

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data

__all__ = ["COLUMNS", "QUESTION", "analyse"]

QUESTION = "Where did frames stop for good, and why?"
_KEY = [*CELL, "direction", "stage", "function", "why"]
COLUMNS = (*_KEY, "n", "frames")


def analyse(data: Data) -> pd.DataFrame:
    """Sums over the `n` repetitions; `why` is as precise as the stage and the state of both ends allow."""
    rows = []
    for key, part in data.table("stops").groupby(_KEY, sort=True):
        row: dict[str, object] = dict(zip(_KEY, key, strict=True))
        rows.append(row | {"n": int(part["rep"].nunique()), "frames": int(part["frames"].sum())})
    return pd.DataFrame(rows, columns=list(COLUMNS))
