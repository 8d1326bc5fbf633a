"""Retransmissions of libslirp's TCP to the guest, and their reasons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.sentence import Row, Said

__all__ = ["COLUMNS", "QUESTION", "SAYS", "analyse", "say"]

QUESTION = "How often did libslirp's TCP retransmit to the guest, and why?"
_KEY = [*CELL, "kind", "function", "file", "line", "attached", "note"]
COLUMNS = (*_KEY, "count")
SAYS = {
    "none": "libslirp retransmitted nothing.",
    "some": "libslirp retransmitted {count:count} times, most often by {kind} on {cell:cell}.",
}


def analyse(data: Data) -> pd.DataFrame:
    """One row for each kind: `timeout`, `fast` (three duplicate ACKs), `window probe` (no loss)."""
    rows = data.table("retransmissions")
    return rows.groupby(_KEY, as_index=False, sort=False)[["count"]].sum()[list(COLUMNS)]


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """The sum, and the most frequent reason; nothing of what could not be counted."""
    counted = [row for row in rows if row["attached"]]
    if not counted:
        return
    first = max(counted, key=lambda row: int(row["count"]))
    total = sum(int(row["count"]) for row in counted)
    yield ("some", {"count": total, "kind": first["kind"], "cell": first}) if total else ("none", {})
