"""Losses, misses and samples, beside the counts."""

from __future__ import annotations

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data

__all__ = ["COLUMNS", "QUESTION", "SERIOUS", "analyse"]

QUESTION = "What was lost, missed, sampled, or failed?"
COLUMNS = ("kind", "item", "count", "measurements", "cells", "note")
# Kinds that make numbers wrong or absent; the other kinds limit what a number covers.
SERIOUS = ("lost", "failed")


def analyse(data: Data) -> pd.DataFrame:
    """Entries with a count above zero, summed over measurements; the serious kinds first."""
    frame = data.table("ledger")
    frame = frame[frame["count"] > 0].copy()
    frame["note"] = frame["note"].fillna("")
    rows = []
    for key, part in frame.groupby(["kind", "item", "note"], sort=True):
        kind, item, note = (str(label) for label in key)
        cells = dict.fromkeys(" ".join(str(label) for label in cell) for cell in part[CELL].to_numpy())
        row = {"kind": kind, "item": item, "count": int(part["count"].sum()), "note": note}
        row |= {
            "measurements": len(part),
            "cells": ", ".join(cells) if len(cells) < 4 else f"{len(cells)} cells",
        }
        rows.append(row)
    rows.sort(key=lambda row: (row["kind"] not in SERIOUS, row["kind"]))
    return pd.DataFrame(rows, columns=list(COLUMNS))
