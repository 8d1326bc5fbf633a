"""What only measurements with probes show of a thread: its system calls a frame, and its functions."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from qtrace.analyses.cpu import thread_kind
from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.windows import thread_role

__all__ = [
    "LEAST_SAMPLES",
    "OTHERS",
    "calls_a_frame",
    "frames_with_probes",
    "function_shares",
    "shares_of_both",
]

Key = tuple[str, ...]
OTHERS = "other functions"
# Of a thread in QEMU: fewer say too little of where its time goes (a tenth of 50 is 0.04 to 0.21).
LEAST_SAMPLES = 50
_SHOWN = 0.03  # of a thread's samples in QEMU: what has less in both cells is one of the other functions


def frames_with_probes(data: Data) -> dict[Key, int]:
    """The frames of each cell in its payload's direction, by the guest's device, over all repetitions with
    probes; of a round trip those of both directions."""
    devices = data.table("devices")
    devices = devices[(devices["side"] == "guest") & devices["probed"].astype(bool)]
    found: dict[Key, int] = {}
    for key, part in devices.groupby(CELL, sort=True):
        cell = tuple(str(item) for item in key)
        way = cell[CELL.index("way")]
        ways = (way,) if way in ("tx", "rx") else ("tx", "rx")
        found[cell] = sum(int(part[f"{one}_packets"].sum()) for one in ways)
    return found


def calls_a_frame(data: Data) -> dict[tuple[Key, str], float]:
    """(cell, thread) -> its system calls for each frame."""
    frames = frames_with_probes(data)
    calls = data.table("syscalls")
    found: dict[tuple[Key, str], float] = {}
    for row in _by_role(calls, "calls").to_dict("records"):
        cell = tuple(str(row[name]) for name in CELL)
        if frames.get(cell):
            found[cell, str(row["role"])] = float(row["calls"]) / frames[cell]
    return found


def function_shares(data: Data) -> dict[tuple[Key, str], Mapping[str, float]]:
    """(cell, thread) -> function -> its share of the thread's samples in QEMU and its libraries. The kernel's
    and the guest's samples are not among them, and no thread with fewer than `LEAST_SAMPLES`."""
    samples = data.table("cpu_functions")
    samples = samples[~samples["function"].astype(str).str.startswith("[")]
    sums: dict[tuple[Key, str], dict[str, int]] = {}
    for row in _by_role(samples, "samples", "function").to_dict("records"):
        key = (tuple(str(row[name]) for name in CELL), str(row["role"]))
        sums.setdefault(key, {})[str(row["function"])] = int(row["samples"])
    return {
        key: {name: count / total for name, count in counts.items()}
        for key, counts in sums.items()
        if (total := sum(counts.values())) >= LEAST_SAMPLES
    }


def shares_of_both(
    one: Mapping[str, float], two: Mapping[str, float]
) -> tuple[dict[str, float], dict[str, float]]:
    """A thread's functions in two cells, the same ones in both: those with a small share in each of
    them are OTHERS together."""
    shown = [name for name in {**one, **two} if max(one.get(name, 0.0), two.get(name, 0.0)) >= _SHOWN]

    def of(side: Mapping[str, float]) -> dict[str, float]:
        others = sum(share for name, share in side.items() if name not in shown)
        return {name: side[name] for name in shown if name in side} | ({OTHERS: others} if others else {})

    return of(one), of(two)


def _by_role(frame: pd.DataFrame, number: str, *more: str) -> pd.DataFrame:
    role = frame["thread"].map(lambda name: thread_role(thread_kind(str(name)))).astype(object)
    return frame.assign(role=role).groupby([*CELL, "role", *more], as_index=False, sort=True)[[number]].sum()
