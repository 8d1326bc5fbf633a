"""Retransmissions of libslirp's TCP to the guest, and their reasons."""

from __future__ import annotations

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data

__all__ = ["COLUMNS", "QUESTION", "analyse"]

QUESTION = "How often did libslirp's TCP retransmit to the guest, and why?"
_KEY = [*CELL, "kind", "function", "file", "line", "attached", "note"]
COLUMNS = (*_KEY, "count")


def analyse(data: Data) -> pd.DataFrame:
    """One row for each kind: `timeout`, `fast` (three duplicate ACKs), `window probe` (no loss)."""
    rows = data.table("retransmissions")
    return rows.groupby(_KEY, as_index=False, sort=False)[["count"]].sum()[list(COLUMNS)]
