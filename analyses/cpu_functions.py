"""The functions in which QEMU's threads spend their CPU time, from samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from qtrace.analyses.cpu import thread_kind
from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.sentence import Row, Said
from qtrace.analyses.methods.stats import proportion

__all__ = ["ALL_THREADS", "COLUMNS", "QUESTION", "SAYS", "analyse", "say"]

QUESTION = "In which functions does QEMU spend its CPU time?"
COLUMNS = (*CELL, "thread", "function", "file", "n", "samples", "of", "share", "low", "high", "seconds")
ALL_THREADS = "all"
SAYS = {
    "first": "On {cell:cell} ({way}) {function} has most of the CPU time: {share:percent} of {of:count}"
    " samples.",
}


def analyse(data: Data) -> pd.DataFrame:
    """One row for each thread and function, and for all threads together; the most frequent first in each.

    `share` is of the `of` samples of that thread; its 95 % interval assumes independent samples. `seconds`
    are CPU seconds over the `n` measurements. The time is a function's own, without its callees'.
    """
    frame = data.table("cpu_functions")
    frame = frame[frame["hertz"] > 0].copy()
    frame["thread"] = [thread_kind(str(name)) for name in frame["thread"]]
    frame["seconds"] = frame["samples"] / frame["hertz"]
    whole = frame.assign(thread=ALL_THREADS)
    both = pd.concat([whole, frame], ignore_index=True)
    key = [*CELL, "thread"]
    wholes = both.groupby(key, as_index=False).agg(of=("samples", "sum"), n=("rep", "nunique"))
    found = both.groupby([*key, "function", "file"], as_index=False, sort=True)[["samples", "seconds"]].sum()
    found = found.merge(wholes, on=key).sort_values(
        [*key, "samples"], ascending=[True] * len(key) + [False], kind="stable"
    )
    rows = []
    for row in found.to_dict("records"):
        share = proportion(int(row["samples"]), int(row["of"]))
        rows.append(row | {"share": share.mean, "low": share.low, "high": share.high})
    rows.sort(key=lambda row: (*(str(row[name]) for name in CELL), row["thread"] != ALL_THREADS))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """The first function of each cell, over all threads."""
    seen: set[tuple[str, ...]] = set()
    for row in rows:
        key = tuple(str(row[name]) for name in CELL)
        if row["thread"] == ALL_THREADS and key not in seen:
            seen.add(key)
            about = {"way": row["way"], "function": row["function"]}
            yield "first", {"cell": row, "share": row["share"], "of": row["of"]} | about
