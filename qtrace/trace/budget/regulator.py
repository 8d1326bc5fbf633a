"""Keeps a session within its budget: all probes stay attached while they are cheap, else only in windows.

Between windows the probes are detached, because even a probe that does nothing would trap. In a cycle of
window and pause, the probes take no more than the budget; at the start of a flood, the time until the next
check exceeds it.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from qtrace.model import Probe
from qtrace.trace.bpf.calibrate import Cost
from qtrace.trace.budget.decision import FUNCTIONS, Load, Switching, dearest, load_of
from qtrace.trace.budget.overhead_budget import Budget
from qtrace.trace.session.reading import Reading
from qtrace.trace.session.session import Session
from qtrace.trace.session.snapshot import Snapshot

__all__ = ["LeftOut", "Regulator", "Window"]

_LOOK = 0.25  # seconds between two checks while all probes are attached
# Share of the budget that is used: amid QEMU's work a hit costs up to a quarter more than calibrated
# (docs/overhead.md).
_AIM = 0.75


@dataclass(frozen=True, slots=True)
class Window:
    """The counts of `seconds`; with `on`, functions were counted too."""

    seconds: float
    counted: Snapshot
    on: bool


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A function whose probe was removed for good: its `share` of the cost, and its time `on` in seconds."""

    function: str
    share: float
    on: float


class Regulator:
    """Controls one session from its `start` to its `stop`; `keep` is called with each window that ends."""

    def __init__(
        self, session: Session, budget: Budget, cost: Cost, keep: Callable[[Window], object]
    ) -> None:
        self._session = session
        self._share = None if budget.share is None else _AIM * budget.share
        self._cost = cost
        self._probed = any(stage.how in FUNCTIONS and not stage.reason for stage in session.stages)
        self._keep = keep
        self.left_out: list[LeftOut] = []
        self.pauses = 0
        self._began = self._off = 0.0
        self._paused: float | None = None  # start of the present pause
        self._due = math.inf
        # The last check: its time and the totals.
        self._looked, self._seen = 0.0, Reading()
        self._putting = self._taking = 0.0  # seconds of the last attaching and detaching
        self._length = _LOOK  # seconds of the next window

    def begin(self) -> None:
        """Tell the regulator that the session has started."""
        self._began = self._looked = time.monotonic()
        if self._share is not None and self._probed:
            self._seen = self._session.mark()
            self._due = self._looked + _LOOK

    def run(self, seconds: float) -> None:
        """Control the session until the time is up or the process has ended. Raises TargetError,
        TraceError."""
        deadline = time.monotonic() + seconds
        while (left := min(deadline, self._due) - time.monotonic()) > 0 or time.monotonic() < deadline:
            self._session.wait(left)
            if not self._session.alive():
                return
            if time.monotonic() >= self._due:
                self._look() if self._paused is None else self._resume()

    @property
    def taking(self) -> float:
        """Seconds that the last removal of the probes took."""
        return self._taking

    @property
    def off(self) -> float:
        """Seconds since `begin` in which functions were not counted."""
        return self._off + (time.monotonic() - self._paused if self._paused is not None else 0.0)

    def end(self) -> None:
        """Tell the regulator that the session has stopped."""
        # Ctrl-C may have come while the probes were being removed: then that window was never closed.
        torn = self._paused is not None and self._looked < self._paused
        if self.pauses and not torn:
            self._close(time.monotonic(), self._session.mark(), self._paused is None)
        self._off, self._paused, self._due = self.off, None, math.inf

    def _look(self) -> None:
        """Check whether all probes may stay attached."""
        assert self._share is not None
        seen, now = self._session.mark(), time.monotonic()
        lately = self._session.between(self._seen, seen)
        seconds = now - self._looked
        load = load_of(lately, self._cost, seconds, self._share)
        if load.fits:
            self._seen, self._looked, self._due = seen, now, now + _LOOK
        elif found := dearest(lately, self._cost, seconds):
            self._leave_out(*found)
            self._seen, self._looked = self._session.mark(), time.monotonic()
            self._due = self._looked + _LOOK
        else:
            self._pause(load)

    def _pause(self, load: Load) -> None:
        began, opened = time.monotonic(), self._looked
        self._paused = began
        self.pauses += 1
        seen = self._session.pause()  # counting ends at once, then the probes are removed
        ended = time.monotonic()
        self._close(began, seen, on=True)
        self._taking = ended - began
        switching = Switching(self._putting, self._taking)
        self._due = ended + switching.pause(load, began - opened, random.random())
        self._length = switching.next_window(load)

    def _resume(self) -> None:
        began = time.monotonic()
        seen = self._session.resume()
        ended = time.monotonic()
        self._close(ended, seen, on=False)
        self._off, self._paused = self.off, None
        self._putting = ended - began
        self._due = ended + self._length

    def _close(self, now: float, seen: Reading, on: bool) -> None:
        """End a window or a pause: pass on the counts since the last check."""
        lately = self._session.between(self._seen, seen)
        self._keep(Window(now - self._looked, lately, on))
        self._looked, self._seen = now, seen

    def _leave_out(self, probe: Probe, share: float) -> None:
        on = time.monotonic() - self._began - self.off
        self.left_out.append(LeftOut(probe.function, share, on))
        self._session.leave_out(probe)
