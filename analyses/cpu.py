"""CPU time of each QEMU thread and of the vhost worker for a gigabyte of payload (10^9 bytes)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.frame_counts import with_payload
from qtrace.analyses.methods.sentence import Row, Said, extremes
from qtrace.analyses.methods.stats import amount

__all__ = ["COLUMNS", "QUESTION", "SAYS", "analyse", "say", "thread_kind"]

QUESTION = "How many CPU seconds does each thread spend on a GB?"
COLUMNS = (*CELL, "thread", "n", "seconds", "payload", "s_per_gb", "low", "high", "switches")
SAYS = {
    "range": "A GB costs {least:number} CPU seconds on {least_cell:cell} and {most:number} on "
    "{most_cell:cell} ({way}).",
}


def thread_kind(name: str) -> str:
    """A thread's name without the parts that vary between guests: the pid in `vhost-1234`, a number."""
    if re.fullmatch(r"vhost-\d+", name):
        return "vhost worker"
    return re.sub(r"^(worker|pool|pool-.*?)[-/ ]?\d*$", r"worker", name) or "unnamed"


def analyse(data: Data) -> pd.DataFrame:
    """CPU time from unprobed measurements; the interval is over repetitions, `switches` has both kinds."""
    threads = with_payload(data, data.table("threads"), probed=False)
    threads = threads[~threads["probed"].astype(bool)].copy()
    threads["thread"] = [thread_kind(str(name)) for name in threads["thread"]]
    sums = ["seconds", "voluntary", "involuntary"]
    rows = []
    for key, cell in threads.groupby(CELL, sort=True):
        payload = cell.drop_duplicates("rep").set_index("rep")["payload"]
        for thread, part in cell.groupby("thread"):
            by_rep = part.groupby("rep")[sums].sum().reindex(payload.index, fill_value=0)
            found = amount([float(value) for value in by_rep["seconds"] / (payload / 1e9)])
            row: dict[str, object] = dict(zip(CELL, key, strict=True))
            row |= {"thread": thread, "n": found.n, "seconds": float(by_rep["seconds"].sum())}
            row |= {
                "payload": int(payload.sum()),
                "s_per_gb": found.mean,
                "low": found.low,
                "high": found.high,
            }
            row["switches"] = int(by_rep["voluntary"].sum() + by_rep["involuntary"].sum())
            rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """The cheapest and the dearest cell of each direction, over all threads."""
    sums: dict[tuple[str, ...], Row] = {}
    for row in rows:
        key = tuple(str(row[name]) for name in CELL)
        before = sums.get(key, {}).get("total", 0.0)
        sums[key] = {**row, "total": before + (row["s_per_gb"] or 0.0)}
    for way in dict.fromkeys(row["way"] for row in rows):
        if found := extremes([row for row in sums.values() if row["way"] == way], "total"):
            least, most = found
            about = {"least": least["total"], "least_cell": least, "most": most["total"], "most_cell": most}
            yield "range", about | {"way": way}
