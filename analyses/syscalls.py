"""System calls of QEMU by name for each megabyte of payload (10^6 bytes), from probed measurements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.frame_counts import with_payload
from qtrace.analyses.methods.sentence import Row, Said, extremes

__all__ = ["COLUMNS", "QUESTION", "SAYS", "analyse", "say"]

QUESTION = "Which system calls does QEMU make for each MB of payload?"
COLUMNS = (*CELL, "name", "fd", "n", "calls", "errors", "bytes", "payload", "calls_per_mb")
SAYS = {
    "range": "QEMU makes {least:number} system calls for a MB on {least_cell:cell} ({least_way}) and "
    "{most:number} on {most_cell:cell} ({most_way}), the extremes.",
}


def analyse(data: Data) -> pd.DataFrame:
    """Sums over threads and repetitions; `payload` is of all probed repetitions that traced calls."""
    calls = with_payload(data, data.table("syscalls"), probed=True)
    # A call absent from one repetition was made 0 times there: the payload is the whole cell's.
    payload: dict[str, float] = {}
    reps: dict[str, int] = {}
    for cell, part in calls.drop_duplicates(["cell", "rep"]).groupby("cell"):
        payload[str(cell)] = float(part["payload"].sum())
        reps[str(cell)] = len(part)
    calls["fd"] = calls["fd"].fillna("")
    rows = []
    made = calls.groupby([*CELL, "cell", "name", "fd"], sort=True)[["calls", "errors", "bytes"]].sum()
    for label, number, errors, size in made.itertuples(name=None):
        *key, cell, name, fd = (str(item) for item in label)
        rows.append(
            dict(zip(CELL, key, strict=True))
            | {"name": name, "fd": fd, "n": reps[cell], "calls": int(number)}
            | {"errors": int(errors), "bytes": int(size), "payload": int(payload[cell])}
            | {"calls_per_mb": int(number) / (payload[cell] / 1e6)}
        )
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.sort_values([*CELL, "calls"], ascending=[True] * len(CELL) + [False], kind="stable")


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """The extremes of all calls together."""
    sums: dict[tuple[str, ...], Row] = {}
    for row in rows:
        key = tuple(str(row[name]) for name in CELL)
        sums[key] = {**row, "total": sums.get(key, {}).get("total", 0.0) + row["calls_per_mb"]}
    if found := extremes(list(sums.values()), "total"):
        least, most = found
        about = {"least": least["total"], "least_cell": least, "least_way": least["way"]}
        yield "range", about | {"most": most["total"], "most_cell": most, "most_way": most["way"]}
