"""What `record` measures besides the stages: CPU samples, sampled frames, and at the level full copies and
retransmissions, as tables of the run."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from qtrace.measure.instruments.copies import Copied
from qtrace.measure.instruments.cpu_functions import function_rows
from qtrace.measure.instruments.retransmissions import Retransmitted
from qtrace.measure.qemu_process import QemuProcess
from qtrace.progress import Progress
from qtrace.trace.instruments.frame_samples import sample_rows
from qtrace.trace.session.level import Level
from qtrace.trace.session.session import Session
from qtrace.trace.session.snapshot import Snapshot

__all__ = ["Instruments"]


class Instruments:
    """Attached to a session: `cpu_hertz` samples a second of what the threads execute, and one frame in
    `sample`; 0 is none of them. At the `level` full also what is copied, and what libslirp sends again.
    Raises TraceError, BinaryError."""

    def __init__(
        self,
        session: Session,
        process: QemuProcess,
        cpu_hertz: int,
        sample: int,
        level: Level = Level.STAGES,
    ) -> None:
        self._process = process
        self._cpu = session.sample_cpu(cpu_hertz) if cpu_hertz else None
        self._frames = session.sample_frames(sample) if sample else None
        self._inside: list[Copied | Retransmitted] = []
        if level is Level.FULL:
            self._inside = [kind(session, process) for kind in (Copied, Retransmitted)]
        self._asked = False

    def conditions(self) -> dict[str, str]:
        """What is to be known of a run that was measured with them."""
        found = {}
        if self._cpu:
            found["CPU samples"] = f"{self._cpu.hertz} a second on each processor (cpu-clock)"
        if self._frames:
            found["sampled frames"] = f"one in {self._frames.every}, at most {self._frames.most} a second"
        return found

    def clock(self) -> dict[str, int]:
        """What a sampled frame's time and the wall clock are at one moment, in ns."""
        return {"monotonic_ns": time.monotonic_ns(), "unix_ns": time.time_ns()}

    def tables(self, snapshot: Snapshot, owners: Collection[int], progress: Progress) -> dict[str, list[Any]]:
        """Tables of the frames of these owners in the window that has just ended, with `ledger` rows of
        their own; when first asked also what is the whole process's, or nobody's."""
        names = {tid: used.name for tid, used in snapshot.threads.items()}
        first, self._asked = not self._asked, True
        found: dict[str, list[Any]] = {"ledger": []}
        if self._cpu and first:
            progress.step("naming the functions that were sampled")
            samples = self._cpu.samples()
            found["cpu_functions"] = function_rows(samples, self._cpu.hertz, names, self._process)
        for one in self._inside:
            for name, rows in one.tables(snapshot, owners).items():
                found.setdefault(name, []).extend(rows)
        if self._frames:
            kept = {*owners, 0} if first else set(owners)
            hits = [hit for hit in self._frames.hits() if hit.owner in kept]
            probes = [stage.probe for stage in snapshot.stages]
            found["samples"] = sample_rows(hits, probes, snapshot.owners, names)
            found["ledger"] += self._frames.ledger() if first else []
        return found
