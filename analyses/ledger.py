"""Losses, misses and samples, beside the counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.plain_and_probed import compared
from qtrace.analyses.methods.sentence import Row, Said
from qtrace.analyses.methods.traffic_change import CHANGED, changes, is_only_a_cost

__all__ = ["COLUMNS", "QUESTION", "SAYS", "SERIOUS", "analyse", "say"]

QUESTION = "What was lost, missed, sampled, or failed?"
COLUMNS = ("kind", "item", "count", "measurements", "cells", "note")
# Kinds that make numbers wrong or absent; the others say what a number covers.
SERIOUS = ("lost", "failed", CHANGED)
SAYS = {
    "clean": "Nothing was lost, and nothing failed.",
    "some": "Events lost: {lost:count}; measurements failed: {failed:count}.",
    "changed": "Cells whose traffic probing changed: {cells:count}.",
}


def analyse(data: Data) -> pd.DataFrame:
    """Entries with a count above zero, summed over measurements, and how probing changed a cell's traffic;
    the serious kinds first."""
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
    for key, measures in compared(data).items():
        found = changes(measures)
        if not is_only_a_cost(found):
            about = {"count": 1, "measurements": 1, "cells": " ".join(key)}
            rows += [
                {"kind": CHANGED, "item": str(change), "note": f"plain -> probed, {change.interval}"} | about
                for change in found
            ]
    rows.sort(key=lambda row: (row["kind"] not in SERIOUS, row["kind"]))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """What was lost and what failed; and the cells whose traffic probing changed."""
    lost, failed = (
        sum(int(row["count"]) for row in rows if row["kind"] == kind) for kind in ("lost", "failed")
    )
    yield ("some", {"lost": lost, "failed": failed}) if lost or failed else ("clean", {})
    if changed := {row["cells"] for row in rows if row["kind"] == CHANGED}:
        yield "changed", {"cells": len(changed)}
