"""Failed system calls of QEMU, by errno."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.sentence import Row, Said

__all__ = ["COLUMNS", "NEEDS", "QUESTION", "SAYS", "analyse", "say"]

QUESTION = "Which system calls failed, and with which errno?"
_KEY = [*CELL, "name", "fd", "errno"]
COLUMNS = (*_KEY, "n", "count")
NEEDS = {"errnos": {"name": str, "fd": str, "errno": str, "count": int}}
SAYS = {
    "some": "{count:count} system calls failed; most often {name} with {errno}, {most:count} times on "
    "{cell:cell}.",
}


def analyse(data: Data) -> pd.DataFrame:
    """One row for each call, descriptor and errno, summed over threads and the `n` repetitions; the most
    frequent first. EAGAIN is the normal end of a loop that reads all available data."""
    groups = data.table("errnos").groupby(_KEY, as_index=False, sort=True)
    found = groups.agg(n=("rep", "nunique"), count=("count", "sum"))
    return found.sort_values([*CELL, "count"], ascending=[True] * len(CELL) + [False], kind="stable")


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """The sum, and the most frequent failure."""
    if rows:
        first = max(rows, key=lambda row: int(row["count"]))
        about = {"name": first["name"], "errno": first["errno"], "most": first["count"], "cell": first}
        yield "some", {"count": sum(int(row["count"]) for row in rows)} | about
