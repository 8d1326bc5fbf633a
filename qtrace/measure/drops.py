"""Frames that were dropped or delayed in a lap: stopped on the way, in QEMU's queue, or lost at the tap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from qtrace.analyses.methods.histogram import quantile
from qtrace.measure.measured_nic import MeasuredNic
from qtrace.measure.qemu_process import QemuProcess
from qtrace.model import Direction
from qtrace.probes.common import DIRECTIONS
from qtrace.probes.frames import LANE
from qtrace.trace.frames.reasons import UNDER_WAY, WAITING
from qtrace.trace.session.snapshot import Snapshot

__all__ = ["DropWatch", "Drops", "Stopped"]

# Frames to the guest are sent by the host's kernel out of its tap.
_TAP_COUNTER = {Direction.TX: "rx_dropped", Direction.RX: "tx_dropped"}


@dataclass(frozen=True, slots=True)
class Stopped:
    """`frames` that stopped at one stage since tracing began and have not gone on, `new` of them during the
    lap; `why` is the reason at the lap's end, as in the run format's table `stops`."""

    stage: str
    function: str
    why: str
    frames: int
    new: int

    @property
    def waiting(self) -> bool:
        """Whether the frames may still go on: they are not lost."""
        return self.why.startswith(WAITING)


@dataclass(frozen=True, slots=True)
class Drops:
    """One direction of a NIC during a lap.

    `tap_dropped`: frames dropped by the host's kernel at the tap, None without a readable tap. `queued`
    frames are in QEMU's queue at the lap's end, which holds `queue_limit` (0: unknown); None if QEMU's memory
    is not read. `waited` frames had stopped and went on, half of them after `wait_p50_ns` and 99 in 100
    within `wait_p99_ns`; None for unknown values.
    """

    netdev: str
    direction: str
    tap_dropped: int | None
    queued: int | None
    queue_limit: int
    waited: int
    wait_p50_ns: float | None
    wait_p99_ns: float | None
    stopped: tuple[Stopped, ...]

    @property
    def any(self) -> bool:
        """Whether frames were dropped or delayed in this lap, or still wait."""
        return bool(self.tap_dropped or self.queued or self.waited or self.shown)

    @property
    def shown(self) -> tuple[Stopped, ...]:
        """The frames that stopped in this lap, or still wait."""
        return tuple(item for item in self.stopped if item.new or item.waiting)

    def to_json(self) -> dict[str, Any]:
        """The drops, JSON-ready."""
        return asdict(self)


class DropWatch:
    """Remembers the state at the end of the previous lap; made when counting begins."""

    def __init__(self, process: QemuProcess, nics: Sequence[MeasuredNic]) -> None:
        self._process, self._nics = process, nics
        self._taps = process.tap_counters()
        self._stopped: dict[tuple[str, str, str, str], int] = {}

    def lap(self, everything: Snapshot) -> tuple[Drops, ...]:
        """The drops of a lap, from its snapshot and the taps' counters."""
        names, now = self._process.tap_names(), self._process.tap_counters()
        moved = {
            name: {key: count - self._taps[name][key] for key, count in counters.items()}
            for name, counters in now.items()
            if name in self._taps
        }
        before, self._stopped = self._stopped, {}
        found = []
        for one in self._nics:
            seen = one.of(everything)
            descriptors = {fd for owner in seen.owners for fd in owner.descriptors}
            taps = [moved[name] for name in {names.get(fd, "") for fd in descriptors} & moved.keys()]
            stops = _stops(seen)
            for direction in Direction:
                counter = _TAP_COUNTER[direction]
                dropped = sum(tap[counter] for tap in taps) if taps else None
                stopped = []
                for (way, stage, function, why), frames in stops.items():
                    if way == direction.value:
                        key = (one.name, way, function, why)
                        self._stopped[key] = frames
                        new = max(0, frames - before.get(key, 0))
                        stopped.append(Stopped(stage, function, why, frames, new))
                found.append(_drops(one.name, direction, seen, dropped, tuple(stopped)))
        # A tap that is added later counts from then on.
        self._taps = self._taps | now
        return tuple(found)


def _stops(seen: Snapshot) -> dict[tuple[str, str, str, str], int]:
    """(direction, stage, function, why) -> frames, over all queues; without frames that are only under
    way."""
    found: dict[tuple[str, str, str, str], int] = {}
    owners = {owner.number: owner for owner in seen.owners}
    tables = seen.frames.waiting.tables([stage.probe for stage in seen.stages], owners)
    for row in tables["stops"]:
        if row["why"] != UNDER_WAY:
            key = (row["direction"], row["stage"], row["function"], row["why"])
            found[key] = found.get(key, 0) + row["frames"]
    return found


def _drops(
    name: str, direction: Direction, seen: Snapshot, dropped: int | None, stopped: tuple[Stopped, ...]
) -> Drops:
    receivers = [owner.clients[0 if direction is Direction.RX else 1] for owner in seen.owners]
    waited = sum(
        count.waited
        for (_, lane), count in seen.frames.counts.items()
        if DIRECTIONS[LANE.unpack(lane)[1]] is direction
    )
    times: dict[int, int] = {}
    for (_, _, went_on, x), number in seen.frames.waiting.times.items():
        if went_on < len(seen.stages) and seen.stages[went_on].probe.direction is direction:
            times[x] = times.get(x, 0) + number
    p50, p99 = quantile(times, 0.5), quantile(times, 0.99)
    return Drops(
        name,
        direction.value,
        dropped,
        sum(client.queued for client in receivers) if receivers else None,
        max((client.most_queued for client in receivers), default=0),
        waited,
        p50.value if p50 else None,
        p99.value if p99 else None,
        stopped,
    )
