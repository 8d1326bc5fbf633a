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
    traced = set(zip(calls["cell"], calls["rep"], strict=True))
    frames = carried(data)
    known = [pair in traced for pair in zip(frames["cell"], frames["rep"], strict=True)]
    frames = frames[pd.Series(known, index=frames.index, dtype=bool)]
    rows = []
    for key, part in frames.groupby([*CELL, "cell", "direction"], sort=True):
        labels = [str(item) for item in key]
        cell, direction = labels[-2:]
        mine = calls[(calls["cell"] == cell) & calls["rep"].isin(list(part["rep"]))]
        moving = mine[mine["fd"].isin(_FDS) & mine["name"].isin(_MOVES.get(direction, ()))]
        moved, carrying, everything = (
            int(part["frames"].sum()),
            int(moving["calls"].sum()),
            int(mine["calls"].sum()),
        )
        rows.append(
            dict(zip(CELL, labels, strict=False))
            | {"direction": direction, "n": len(part), "frames": moved}
            | {"stage": part["stage"].iloc[0], "function": part["function"].iloc[0]}
            | {"calls": carrying, "frames_per_call": moved / carrying if carrying else None}
            | {"all_calls": everything, "frames_per_any_call": moved / everything if everything else None}
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


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
