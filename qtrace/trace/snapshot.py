"""What a session has counted, and the tables of a run that it becomes (docs/design.md, run format)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qtrace.model import Probe
from qtrace.trace.target import ThreadTimes

__all__ = ["LOST", "Count", "Snapshot", "Stage"]

# What each element of the BPF array `lost` means; kept equal to the enum in common.bpf.c.
LOST = (
    ("lost", "memory of QEMU that could not be read", "the hit's bytes or the hit itself are missing"),
    ("lost", "vectors beyond the 64th of a frame", "their bytes are missing"),
    ("lost", "passages beyond the histogram map", "edges are incomplete"),
    ("lost", "threads beyond the thread map", "edges of further threads are missing"),
    ("lost", "system calls beyond their map", "syscalls are incomplete"),
)


@dataclass(frozen=True, slots=True)
class Count:
    """Hits of a stage, the frames and the bytes that they told of."""

    calls: int = 0
    frames: int = 0
    bytes: int = 0

    def __sub__(self, other: Count) -> Count:
        return Count(self.calls - other.calls, self.frames - other.frames, self.bytes - other.bytes)


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage that was asked for, in its slot; `reason` is why it could not be attached, or empty."""

    probe: Probe
    how: str
    note: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Counts by slot, edges by (from slot, to slot, log2 of ns), system calls by (thread, name, class),
    threads by id, losses by index of `LOST`, hits that the kernel dropped by program, and the names of all
    threads, those included that have ended."""

    seconds: float
    stages: tuple[Stage, ...]
    counts: Mapping[int, Count]
    edges: Mapping[tuple[int, int, int], int]
    syscalls: Mapping[tuple[int, str, str], Count]
    errors: Mapping[tuple[int, str, str], int]
    threads: Mapping[int, ThreadTimes]
    lost: Mapping[int, int]
    missed: Mapping[str, int]
    names: Mapping[int, str] = field(default_factory=dict)

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Table name -> rows without the key columns."""
        return {
            "stages": [self._stage(slot) for slot in range(len(self.stages))],
            "edges": [self._edge(*key, count) for key, count in sorted(self.edges.items()) if count],
            "syscalls": self._syscalls(),
            "threads": [
                {
                    "thread": used.name,
                    "tid": tid,
                    "seconds": used.seconds,
                    "voluntary": used.voluntary,
                    "involuntary": used.involuntary,
                }
                for tid, used in sorted(self.threads.items())
            ],
            "ledger": self._ledger(),
        }

    def _stage(self, slot: int) -> dict[str, Any]:
        stage, count = self.stages[slot], self.counts.get(slot, Count())
        attached = not stage.reason
        return {
            "direction": stage.probe.direction.value,
            "position": stage.probe.position,
            "stage": stage.probe.stage.value,
            "function": stage.probe.function,
            "how": stage.how if attached else "none",
            "attached": attached,
            "calls": count.calls,
            "frames": count.frames,
            "bytes": count.bytes,
            "note": stage.reason or stage.note,
        }

    def _edge(self, before: int, after: int, slot: int, count: int) -> dict[str, Any]:
        start, end = self.stages[before].probe, self.stages[after].probe
        return {
            "direction": end.direction.value,
            "from_stage": start.stage.value,
            "from_function": start.function,
            "to_stage": end.stage.value,
            "to_function": end.function,
            "slot": slot,
            "count": count,
        }

    def _syscalls(self) -> list[dict[str, Any]]:
        return [
            {
                "thread": self.names.get(tid, ""),
                "tid": tid,
                "name": name,
                "fd": fd,
                "calls": count.calls,
                "errors": self.errors.get((tid, name, fd), 0),
                "bytes": count.bytes,
            }
            for (tid, name, fd), count in sorted(self.syscalls.items())
            if count.calls
        ]

    def _ledger(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for stage in self.stages:
            if stage.reason:
                item = f"{stage.probe.direction.value} {stage.probe.stage.value}: {stage.probe.function}"
                rows.append({"kind": "unattached", "item": item, "count": 1, "note": stage.reason})
        for index, count in self.lost.items():
            if count:
                kind, item, note = LOST[index]
                rows.append({"kind": kind, "item": item, "count": count, "note": note})
        for program, count in self.missed.items():
            if count:
                note = "the kernel skipped the program: it was hit while it ran"
                rows.append({"kind": "missed", "item": program, "count": count, "note": note})
        return rows
