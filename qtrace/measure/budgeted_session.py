"""A process traced at one level and within one budget, for `record` and `trace`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence

from qtrace.errors import TraceError
from qtrace.measure.attacher import attach
from qtrace.measure.effort import Effort
from qtrace.measure.measured_nic import MeasuredNic, paths_of
from qtrace.measure.qemu_process import QemuProcess
from qtrace.measure.scaling import Suppression, Unseen
from qtrace.progress import Progress
from qtrace.trace.bpf.calibrate import ASSUMED, Cost
from qtrace.trace.budget.overhead_budget import cost_of
from qtrace.trace.budget.regulator import Regulator
from qtrace.trace.session.engine import Engine
from qtrace.trace.session.session import Session
from qtrace.trace.session.snapshot import Snapshot

__all__ = ["Regulated", "regulated"]


class Regulated:
    """A session together with the regulator that keeps it within its budget."""

    def __init__(
        self,
        session: Session,
        nics: Sequence[MeasuredNic],
        effort: Effort,
        cost: Cost,
        attaching: float,
    ) -> None:
        self.session, self.effort, self.cost = session, effort, cost
        self.suppression = Suppression(nics)
        self.regulator = Regulator(session, effort.budget, cost, self.suppression.keep)
        self._attaching = attaching

    def start(self) -> None:
        """Begin: all counts start at zero."""
        self.session.start()
        self.regulator.begin()

    def lap(self) -> tuple[Snapshot, Unseen]:
        """The counts since the last lap, and the part of the lap that was not seen. Raises TargetError."""
        off = self.regulator.off
        seen = self.session.lap()
        return seen, self.suppression.lap(self.regulator, seen, off)

    def stop(self) -> None:
        """Stop all counts at the same moment."""
        self.session.stop()
        self.regulator.end()

    def share(self, seen: Snapshot) -> float:
        """What looking has taken of one processor, by hits and what a hit costs, while this was counted."""
        seconds = max(seen.seconds, 1e-9)
        return sum(cost_of(seen, self.cost, seconds - self.regulator.off, seconds)) / seconds

    def detach(self) -> dict[str, str]:
        """Detach everything; returns the conditions of the measurement, name -> text."""
        began = time.monotonic()
        self.session.close()
        took = max(time.monotonic() - began, self.regulator.taking)
        return {
            "level": self.effort.level.value,
            "overhead budget": str(self.effort.budget),
            "cost of a hit": str(self.cost),
            "attaching": f"{self._attaching:.2f} s, detaching {took:.2f} s",
        }


@contextlib.contextmanager
def regulated(
    engine: Engine, process: QemuProcess, nics: Sequence[MeasuredNic], effort: Effort, progress: Progress
) -> Iterator[Regulated]:
    """Calibrate, then attach to the NICs' paths in the process; nothing is attached when the block ends.

    Raises TargetError, TraceError, BinaryError.
    """
    try:
        cost = engine.calibrate()
    except TraceError as exc:
        progress.warn(f"the cost of a hit is assumed: {exc}")
        cost = ASSUMED
    began = time.monotonic()
    with attach(engine, process, paths_of(nics), effort.level) as session:
        yield Regulated(session, nics, effort, cost, time.monotonic() - began)
