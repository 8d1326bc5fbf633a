"""Repeated measurements of a running QEMU: `qtrace trace PID`."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qtrace.analyses.methods.histogram import quantile
from qtrace.measure.budgeted_session import regulated
from qtrace.measure.drops import Drops, DropWatch
from qtrace.measure.effort import Effort
from qtrace.measure.measured_nic import MeasuredNic
from qtrace.measure.qemu_process import QemuProcess
from qtrace.measure.scaling import Scaled, Unseen
from qtrace.model import Direction
from qtrace.progress import Progress
from qtrace.trace.session.engine import open_engine
from qtrace.trace.session.snapshot import Snapshot

__all__ = ["Lap", "StageRate", "watch_process"]

_EXACT = Effort()


# Unattached probes are shown at their stages; frames under way between two laps are no loss.
_NO_LOSS = ("unattached", "ambiguous", "unmatched", "stopped")


@dataclass(frozen=True, slots=True)
class StageRate:
    """One stage of a NIC during a lap; None for unmeasured values, with the reason in `note`.

    `netdev` is the name of the NIC's back end, or of its hub. `p50_ns` and `p99_ns` are the times from the
    stage before, on one thread; None without any passage. `observed` is the share of the lap in which the
    stage was counted: below 1, counts are scaled to the whole lap, and `_error` is half of the 95 % interval,
    None if it is unknown.
    """

    netdev: str
    direction: str
    stage: str
    function: str
    calls: int | None
    frames: int | None
    bytes: int | None
    p50_ns: float | None
    p99_ns: float | None
    note: str
    observed: float = 1.0
    calls_error: float | None = None
    frames_error: float | None = None
    bytes_error: float | None = None


@dataclass(frozen=True, slots=True)
class Lap:
    """The counts of one lap of `seconds`. `system_calls`: (name, descriptor) -> count, errors; `threads`:
    name -> share of one processor; `lost`: ledger entries besides unattached probes; `suppressed`: why counts
    of functions are not exact; `drops`: of each NIC and direction."""

    seconds: float
    stages: tuple[StageRate, ...]
    system_calls: Mapping[tuple[str, str], tuple[int, int]]
    threads: Mapping[str, float]
    lost: tuple[str, ...]
    suppressed: tuple[str, ...] = ()
    drops: tuple[Drops, ...] = ()

    def frames(self, netdev: str, direction: str) -> int:
        """A NIC's frames handed to the peer in this direction, or the largest count of any stage."""
        mine = [
            stage
            for stage in self.stages
            if (stage.netdev, stage.direction) == (netdev, direction) and stage.frames
        ]
        handed = [stage.frames or 0 for stage in mine if stage.stage == "deliver"]
        return max(handed or [stage.frames or 0 for stage in mine] or [0])

    def to_json(self) -> dict[str, Any]:
        """The lap, JSON-ready."""
        keys = StageRate.__slots__
        return {
            "seconds": round(self.seconds, 6),
            "stages": [{key: getattr(stage, key) for key in keys} for stage in self.stages],
            "drops": [one.to_json() for one in self.drops],
            "system_calls": [
                {"name": name, "fd": fd, "calls": calls, "errors": errors}
                for (name, fd), (calls, errors) in self.system_calls.items()
            ],
            "threads": dict(self.threads),
            "lost": list(self.lost),
            "suppressed": list(self.suppressed),
        }


def watch_process(
    process: QemuProcess,
    nics: Sequence[MeasuredNic],
    interval: float,
    progress: Progress,
    effort: Effort = _EXACT,
) -> Generator[Lap, None, None]:
    """Attach to the NICs' paths in the process and yield a lap every `interval` seconds, without end.

    Everything is detached when the generator is closed. The stages of one lap are read one after another
    while frames pass, so neighbours may differ by a few; no frame is missed from lap to lap. Raises
    TargetError when the process ends, after its last lap; TraceError.
    """
    with (
        open_engine(progress) as engine,
        regulated(engine, process, nics, effort, progress) as traced,
    ):
        traced.start()
        watch = DropWatch(process, nics)
        progress.done(f"attached to {process}: Ctrl-C ends it")
        due = time.monotonic()
        while True:
            due += interval
            traced.regulator.run(due - time.monotonic())
            seen, unseen = traced.lap()
            yield _lap(seen, unseen, nics, watch.lap(seen))
            traced.session.require()


def _lap(seen: Snapshot, unseen: Unseen, nics: Sequence[MeasuredNic], drops: tuple[Drops, ...]) -> Lap:
    calls: dict[tuple[str, str], tuple[int, int]] = {}
    for key, count in seen.syscalls.items():
        *_, name, fd = key
        before = calls.get((name, fd), (0, 0))
        errors = seen.errors.get(key, 0)
        if count.calls:
            calls[name, fd] = before[0] + count.calls, before[1] + errors
    threads: dict[str, float] = {}
    for used in seen.threads.values():
        threads[used.name] = threads.get(used.name, 0.0) + used.seconds / max(seen.seconds, 1e-9)
    return Lap(
        seen.seconds,
        tuple(rate for one in nics for rate in _stages(one, seen, unseen)),
        dict(sorted(calls.items(), key=lambda item: -item[1][0])),
        threads,
        tuple(_lost(seen.tables()["ledger"])),
        (
            *(f"{row['kind']}: {row['item']}" for one in nics for row in unseen.changes(one.name)),
            *(str(row["item"]) for row in unseen.ledger()),
        ),
        drops,
    )


def _stages(one: MeasuredNic, everything: Snapshot, unseen: Unseen) -> list[StageRate]:
    """The stages of one NIC, tx first, in the order of their positions."""
    seen = one.of(everything)
    into: dict[int, dict[int, int]] = {}
    for (_, _, after, slot), number in seen.edges.items():
        slots = into.setdefault(after, {})
        slots[slot] = slots.get(slot, 0) + number
    order = list(Direction)
    probes = [stage.probe for stage in seen.stages]
    slots_in_order = sorted(
        range(len(probes)), key=lambda slot: (order.index(probes[slot].direction), probes[slot].position)
    )
    return [_stage(one.name, seen, slot, into.get(slot, {}), unseen) for slot in slots_in_order]


def _stage(netdev: str, seen: Snapshot, slot: int, into: Mapping[int, int], unseen: Unseen) -> StageRate:
    stage = seen.stages[slot]
    attached = not stage.reason
    count = seen.total(slot)
    p50, p99 = quantile(into, 0.5), quantile(into, 0.99)
    rate = StageRate(
        netdev,
        stage.probe.direction.value,
        stage.probe.role,
        stage.probe.function,
        count.calls if attached else None,
        count.frames if attached else None,
        count.bytes if attached else None,
        p50.value if p50 else None,
        p99.value if p99 else None,
        stage.reason or stage.note,
    )
    names = {"direction": rate.direction, "stage": rate.stage, "function": rate.function, "how": stage.how}
    found = unseen.scaled(netdev, names, count) if attached else None
    return _scaled(rate, found) if found else rate


def _scaled(rate: StageRate, found: Scaled) -> StageRate:
    if found.count is None:
        unknown = replace(rate, calls=None, frames=None, bytes=None)
        return replace(unknown, observed=0.0, note="its probe was off during this lap")
    calls, frames, data = found.errors or (None, None, None)
    whole = replace(rate, calls=found.count.calls, frames=found.count.frames, bytes=found.count.bytes)
    return replace(whole, observed=found.observed, calls_error=calls, frames_error=frames, bytes_error=data)


def _lost(ledger: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for row in ledger:
        if row["kind"] not in _NO_LOSS:
            yield f"{row['kind']}: {row['item']}: {row['count']:,} ({row['note']})"
