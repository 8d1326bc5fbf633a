"""Failed system calls of QEMU, by errno."""

from __future__ import annotations

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data

__all__ = ["COLUMNS", "NEEDS", "QUESTION", "analyse"]

QUESTION = "Which system calls failed, and with which errno?"
_KEY = [*CELL, "name", "fd", "errno"]
COLUMNS = (*_KEY, "n", "count")
NEEDS = {"errnos": {"name": str, "fd": str, "errno": str, "count": int}}


def analyse(data: Data) -> pd.DataFrame:
    """One row for each call, descriptor and errno, summed over threads and the `n` repetitions; the most
    frequent first. EAGAIN is the normal end of a loop that reads all available data."""
    groups = data.table("errnos").groupby(_KEY, as_index=False, sort=True)
    found = groups.agg(n=("rep", "nunique"), count=("count", "sum"))
    return found.sort_values([*CELL, "count"], ascending=[True] * len(CELL) + [False], kind="stable")
