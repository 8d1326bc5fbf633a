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
    payloads = threads.drop_duplicates([*CELL, "rep"])
    of_cell = {
        key: dict(zip(part["rep"], part["payload"], strict=True))
        for key, part in payloads[[*CELL, "rep", "payload"]].groupby(CELL, sort=True)
    }
    used: dict[tuple[object, ...], dict[int, list[float]]] = {}
    for label, *values in (
        threads.groupby([*CELL, "thread", "rep"], sort=True)[sums].sum().itertuples(name=None)
    ):
        used.setdefault(label[:-1], {})[label[-1]] = values
    rows = []
    for label, by_rep in used.items():
        payload = of_cell[label[: len(CELL)]]
        every = [by_rep.get(rep, [0.0, 0, 0]) for rep in payload]
        found = amount([one[0] / (size / 1e9) for one, size in zip(every, payload.values(), strict=True)])
        seconds, voluntary, involuntary = (sum(one[place] for one in every) for place in range(len(sums)))
        rows.append(
            dict(zip([*CELL, "thread"], label, strict=True))
            | {"n": found.n, "seconds": float(seconds), "payload": int(sum(payload.values()))}
            | {"s_per_gb": found.mean, "low": found.low, "high": found.high}
            | {"switches": int(voluntary + involuntary)}
        )
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
