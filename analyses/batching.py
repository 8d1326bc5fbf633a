"""Packets per system call, from probed measurements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.frame_counts import carried
from qtrace.analyses.methods.sentence import Row, Said, extremes

__all__ = ["COLUMNS", "QUESTION", "SAYS", "analyse", "say"]

QUESTION = "How many packets does one system call carry?"
COLUMNS = (
    *CELL,
    "direction",
    "n",
    "stage",
    "function",
    "frames",
    "calls",
    "frames_per_call",
    "all_calls",
    "frames_per_any_call",
)
# System calls that move packets, by direction.
_MOVES = {
    "tx": ("write", "writev", "pwritev", "sendto", "sendmsg", "sendmmsg"),
    "rx": ("read", "readv", "preadv", "recvfrom", "recvmsg", "recvmmsg"),
}
_FDS = ("tap", "socket")
SAYS = {
    "range": "A system call carries {most:number} frames on {most_cell:cell} ({most_way}), most of all,"
    " and {least:number} on {least_cell:cell} ({least_way}), least.",
    "kernel": "On {cell:cell} QEMU makes no system call for frames ({way}): the kernel carries them.",
}


def analyse(data: Data) -> pd.DataFrame:
    """`calls`: calls on the tap or a socket that move data in this direction; `all_calls`: all calls.

    Both directions share `all_calls`. A ratio is null without calls (the kernel carries the frames).
    """
    calls = data.table("syscalls")
    traced = calls[["cell", "rep"]].drop_duplicates()
    frames = carried(data)
    frames = frames.reset_index(drop=True).merge(traced, on=["cell", "rep"])
    key = [*CELL, "cell", "direction"]
    # The calls of a cell, in the repetitions in which its frames of a direction were counted.
    mine = frames[["cell", "direction", "rep"]].drop_duplicates().merge(calls, on=["cell", "rep"])
    moves = pd.Series(False, index=mine.index)
    for direction, names in _MOVES.items():
        moves |= (mine["direction"] == direction) & mine["name"].isin(names)
    moves &= mine["fd"].isin(_FDS)
    per = ["cell", "direction"]
    every, moving = (one.groupby(per)["calls"].sum().to_dict() for one in (mine, mine[moves]))
    groups = frames.groupby(key, sort=True)
    sums = groups["frames"].agg(["sum", "size"])
    first = frames.drop_duplicates(key).sort_values(key)[["stage", "function"]].to_dict("records")
    rows = []
    for (labels, (moved, n)), named in zip(_pairs(sums), first, strict=True):
        direction = str(labels[-1])
        carrying, everything = (int(one.get((labels[-2], direction), 0)) for one in (moving, every))
        rows.append(
            dict(zip(CELL, map(str, labels), strict=False))
            | {"direction": direction, "n": n, "frames": moved, **named}
            | {"calls": carrying, "frames_per_call": moved / carrying if carrying else None}
            | {"all_calls": everything, "frames_per_any_call": moved / everything if everything else None}
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _pairs(sums: pd.DataFrame) -> Iterator[tuple[tuple[object, ...], tuple[int, int]]]:
    for labels, moved, n in sums.itertuples(name=None):
        yield labels, (int(moved), int(n))


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """The extremes in the payload's direction, and cells without a call."""
    mine = [row for row in rows if row["direction"] == row["way"]]
    if found := extremes(mine, "frames_per_call"):
        least, most = found
        yield (
            "range",
            {"most": most["frames_per_call"], "most_cell": most, "most_way": most["way"]}
            | {"least": least["frames_per_call"], "least_cell": least, "least_way": least["way"]},
        )
    for row in mine:
        if row["frames"] and not row["calls"]:
            yield "kernel", {"cell": row, "way": row["way"]}
