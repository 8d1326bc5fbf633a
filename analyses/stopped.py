"""Frames that stopped on their way: the stage at which they stopped, and the reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.sentence import Row, Said

__all__ = ["COLUMNS", "QUESTION", "SAYS", "analyse", "say"]

QUESTION = "Where did frames stop for good, and why?"
_KEY = [*CELL, "direction", "stage", "function", "why"]
COLUMNS = (*_KEY, "n", "frames")
SAYS = {"some": "Frames that went no further: {frames:count}, most of them on {cell:cell}: {why}."}


def analyse(data: Data) -> pd.DataFrame:
    """Sums over the `n` repetitions; `why` is as precise as the stage and the state of both ends allow."""
    rows = []
    for key, part in data.table("stops").groupby(_KEY, sort=True):
        row: dict[str, object] = dict(zip(_KEY, key, strict=True))
        rows.append(row | {"n": int(part["rep"].nunique()), "frames": int(part["frames"].sum())})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """The sum, and the most frequent reason."""
    if rows:
        first = max(rows, key=lambda row: int(row["frames"]))
        yield "some", {"frames": sum(int(row["frames"]) for row in rows), "cell": first, "why": first["why"]}
