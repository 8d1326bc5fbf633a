"""The observer's own effect: counts that need no probe in QEMU, compared between probed windows and pauses.

These counts are the frames of the host's system calls, the eventfd reads by which QEMU learns of kicks, and
the turns of QEMU's loops.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qtrace.analyses.methods.traffic_change import CHANGED, RATE, Change, Compared, Ratio, changes
from qtrace.measure.ratio_estimator import exact_stages
from qtrace.model import Direction
from qtrace.probes.syscalls import CLASSES, DOES, Descriptor, Does
from qtrace.trace.budget.regulator import Window
from qtrace.trace.session.snapshot import Snapshot

__all__ = ["ObserverEffect"]

_EVENTFD = CLASSES[Descriptor.EVENTFD]


class ObserverEffect:
    """Of one NIC: is given each window and each pause, and says what differs between them."""

    def __init__(self) -> None:
        self._compared: dict[str, Compared] = {}

    def add(self, window: Window, counted: Snapshot) -> None:
        """A window has ended, or a pause; `counted` is the NIC's part of it."""
        for measure, above, below in _measures(window.seconds, counted):
            timed = measure.endswith("a second")
            made = Compared(measure, Ratio(timed=timed), Ratio(timed=timed))
            one = self._compared.setdefault(measure, made)
            (one.probed if window.on else one.without).add(above, below)

    def changes(self) -> list[Change]:
        """What differs by more than its interval, the most changed first."""
        return changes(list(self._compared.values()))

    def ledger(self) -> list[dict[str, Any]]:
        """The same as rows of a run's ledger."""
        return [
            {
                "kind": CHANGED,
                "item": str(change),
                "count": 1,
                "note": f"in pauses -> in windows with functions probed, {change.interval}; what is scaled "
                "from windows, and all times, are those of the traffic as it was probed",
            }
            for change in self.changes()
        ]


def _measures(seconds: float, counted: Snapshot) -> Iterator[tuple[str, float, float]]:
    """(measure, count above, count below); without frames nothing is told but the calls of each second."""
    frames = {
        direction: float(exact.frames or exact.calls)
        for direction, exact in exact_stages(counted).items()
        if exact
    }
    calls = kicks = turns = 0
    for (_, _, name, fd), count in counted.syscalls.items():
        calls += count.calls
        if Does.WAIT in DOES.get(name, Does(0)):
            turns += count.calls
        elif fd == _EVENTFD and name == "read":
            kicks += count.calls
    carried = sum(frames.values())
    for direction, passed in frames.items():
        yield f"{direction.value} {RATE}", passed, seconds
    if frames:
        yield "system calls a frame", calls, carried
        yield "frames a turn of the loop", carried, turns
        yield "frames a kick", frames.get(Direction.TX, 0.0), kicks
    else:
        yield "system calls a second", calls, seconds
