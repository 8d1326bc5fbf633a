"""What the kernel, the guest's device and the workload counted in each measurement without probes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from qtrace.analyses.cpu import thread_kind
from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.sentence import Row

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
    frames: dict[_Id, dict[str, int]] = {}
    for row in _rows(devices[devices["side"] == "guest"]):
        mine = frames.setdefault(_id(row), {"tx": 0, "rx": 0})
        for way in mine:
            mine[way] += int(row[f"{way}_packets"])
    by_thread: dict[_Id, dict[str, list[Row]]] = {}
    for row in _rows(_numbers(threads, "system", "guest")):
        role = thread_role(thread_kind(str(row["thread"])))
        by_thread.setdefault(_id(row), {}).setdefault(role, []).append(row)
    of_results: dict[_Id, list[Row]] = {}
    for row in _rows(results[results["status"] == "ok"]):
        of_results.setdefault(_id(row), []).append(row)
    found: dict[Key, dict[int, Window]] = {}
    for key, rows in sorted(of_results.items()):
        took = max(float(row["seconds"]) for row in rows)
        if key in frames and key in by_thread and took > 0:
            cell = tuple(str(rows[0][name]) for name in CELL)
            metrics = {str(row["metric"]): float(row["value"]) for row in rows}
            parts = {role: _thread(mine) for role, mine in sorted(by_thread[key].items())}
            found.setdefault(cell, {})[key[1]] = Window(took, metrics, frames[key], parts)
    return found


_Id = tuple[str, int]


def _id(row: Row) -> _Id:
    return str(row["cell"]), int(row["rep"])


def _rows(frame: pd.DataFrame) -> list[Row]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[~frame["probed"].astype(bool)]


def _numbers(frame: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Of an older run these columns are missing, which `table` shows as text."""
    return frame.assign(**{name: pd.to_numeric(frame[name], errors="coerce") for name in names})


def _thread(rows: Sequence[Row]) -> ThreadPart:
    seconds, system, guest = (
        math.fsum(float(row[name]) for row in rows) for name in ("seconds", "system", "guest")
    )
    parts = {KERNEL: system, GUEST: guest, QEMU: seconds - system - guest}
    # The kernel's clock ticks: over a short time a part may exceed the whole.
    known = all(value >= 0 for value in parts.values())  # NaN is not
    return ThreadPart(seconds, sum(int(row["voluntary"]) for row in rows), parts if known else {})
