"""What the kernel, the guest's device and the workload counted in each measurement without probes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from qtrace.analyses.cpu import thread_kind
from qtrace.analyses.methods.data import CELL, Data

__all__ = ["GUEST", "KERNEL", "QEMU", "ThreadPart", "Window", "thread_role", "windows"]

Key = tuple[str, ...]

# Where a thread's CPU time was spent, as the kernel's clock saw it.
KERNEL, GUEST, QEMU = "in the kernel", "in the guest", "in QEMU"


@dataclass(frozen=True, slots=True)
class ThreadPart:
    """One thread of one measurement. `parts` are seconds in the kernel, in the guest and in QEMU, empty where
    the run does not have them; their sum is `seconds`. `waits` are voluntary context switches."""

    seconds: float
    waits: int
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Window:
    """One measurement. `window` is its duration in seconds, `metrics` as the workload reported them, `frames`
    the frames in each direction, by the guest's own device."""

    window: float
    metrics: Mapping[str, float]
    frames: Mapping[str, int]
    threads: Mapping[str, ThreadPart]

    @property
    def cpu(self) -> float:
        """The CPU seconds of all threads."""
        return sum(thread.seconds for thread in self.threads.values())


def thread_role(kind: str) -> str:
    """A thread by its work: `vCPU`, `main loop`, `vhost worker`, or its own name."""
    if kind.startswith("CPU "):
        return "vCPU"
    return "main loop" if kind.startswith("qemu-") else kind


def windows(data: Data) -> dict[Key, dict[int, Window]]:
    """Cell -> repetition -> its measurement without probes, where all three counted something."""
    results, devices, threads = (_plain(data.table(name)) for name in ("results", "devices", "threads"))
    results = results[results["status"] == "ok"]
    frames = {key: _frames(part) for key, part in devices[devices["side"] == "guest"].groupby(_ID)}
    shares = {key: _threads(part) for key, part in threads.groupby(_ID)}
    found: dict[Key, dict[int, Window]] = {}
    for key, part in results.groupby(_ID, sort=True):
        if key in frames and key in shares and (took := float(part["seconds"].max())) > 0:
            cell, rep = (tuple(str(part[name].iloc[0]) for name in CELL), int(part["rep"].iloc[0]))
            metrics = {str(row["metric"]): float(row["value"]) for row in part.to_dict("records")}
            found.setdefault(cell, {})[rep] = Window(took, metrics, frames[key], shares[key])
    return found


_ID = ["cell", "rep"]


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[~frame["probed"].astype(bool)]


def _frames(part: pd.DataFrame) -> dict[str, int]:
    return {way: int(part[f"{way}_packets"].sum()) for way in ("tx", "rx")}


def _threads(part: pd.DataFrame) -> dict[str, ThreadPart]:
    found: dict[str, ThreadPart] = {}
    roles = part["thread"].map(lambda name: thread_role(thread_kind(str(name))))
    # Of an older run the whole columns are missing, which `table` shows as text.
    split = {name: pd.to_numeric(part[name], errors="coerce") for name in ("system", "guest")}
    part = part.assign(role=roles, **split)
    for role, mine in part.groupby("role", sort=True):
        seconds = float(mine["seconds"].sum())
        system, guest = (float(mine[name].sum(min_count=len(mine))) for name in split)
        parts = {KERNEL: system, GUEST: guest, QEMU: seconds - system - guest}
        # The kernel's clock ticks: over a short time a part may exceed the whole.
        known = all(value >= 0 for value in parts.values())  # NaN is not
        found[str(role)] = ThreadPart(seconds, int(mine["voluntary"].sum()), parts if known else {})
    return found
