"""Frames from their first stage to their last (probes/frames.bpf.c): how many can be followed, and the time
of each."""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qtrace.model import Probe
from qtrace.probes.common import DIRECTIONS, EDGE
from qtrace.probes.frames import CARRIED, GROUP, LANE
from qtrace.trace.frames.waits import Waiting, whose
from qtrace.trace.qemu.owners import Owner

__all__ = ["FrameCount", "FrameReading", "Group", "group_index"]

_NOTES = {
    "ambiguous": "several frames were under way, and it is unknown which of them ended",
    "unmatched": "dropped, waiting, under way at an end of the window, or on a way without a probe",
}


@dataclass(frozen=True, slots=True)
class FrameCount:
    """`matched`: frames from the first stage to the last, in this order. `ambiguous`: an end that could
    belong to one of several frames. `astray`: an end without a beginning. `open`: a beginning without an end
    yet. `waited`: those of them that were set aside in a queue and went on."""

    matched: int = 0
    ambiguous: int = 0
    astray: int = 0
    open: int = 0
    waited: int = 0

    def __add__(self, other: FrameCount) -> FrameCount:
        return FrameCount(
            self.matched + other.matched,
            self.ambiguous + other.ambiguous,
            self.astray + other.astray,
            self.open + other.open,
            self.waited + other.waited,
        )

    @property
    def frames(self) -> int:
        """All frames, each once."""
        return self.matched + self.ambiguous + self.unmatched

    @property
    def unmatched(self) -> int:
        """Frames of which only the beginning or only the end was seen."""
        return self.astray + self.open


# (owner, LANE: whether the kernel carries the frames, and their direction)
Group = tuple[int, int]


@dataclass(frozen=True, slots=True)
class FrameReading:
    """Counts by group, and the number of matched frames that took 2^x ns, by (owner, first slot, last slot,
    x)."""

    counts: Mapping[Group, FrameCount] = field(default_factory=dict)
    times: Mapping[tuple[int, int, int, int], int] = field(default_factory=dict)
    ends: Mapping[Group, tuple[int, int]] = field(default_factory=dict)  # (first slot, last slot)
    waiting: Waiting = field(default_factory=Waiting)

    @classmethod
    def of(
        cls,
        module: Any,
        owners: Iterable[int],
        ends: Mapping[Group, tuple[int, int]],
        left: Mapping[Group, int],
        until: float,
    ) -> FrameReading:
        """Read the kernel's maps; `ends` and `left` are the `Follower`'s, `until` as in `Waiting`."""
        totals, waiting = module[b"frame_counts"], module[b"frames_waiting"]
        groups = [(owner, way) for owner in owners for way in range(LANE.size)]
        opened = {group: left.get(group, 0) + int(waiting[group_index(group)].number) for group in groups}
        for key, frame in module[b"frames_now"].items():
            _, number = CARRIED.unpack(key.value)
            owner, way = GROUP.unpack(number)
            if frame.open and (owner, way) in opened:
                opened[owner, way] += int(frame.number)
        counts = {}
        for group, still in opened.items():
            cpus = totals[group_index(group)]
            counts[group] = FrameCount(
                sum(int(cpu.matched) for cpu in cpus),
                sum(int(cpu.ambiguous) for cpu in cpus),
                sum(int(cpu.astray) for cpu in cpus),
                still,
                sum(int(cpu.waited) for cpu in cpus),
            )
        times: dict[tuple[int, int, int, int], int] = {}
        for key, cpus in module[b"frame_times"].items():
            owner, first, last, slot = EDGE.unpack(key.value)
            times[owner, first, last, slot] = int(sum(cpus))
        return cls(counts, times, dict(ends), Waiting.of(module, until, left))

    def since(self, before: FrameReading) -> FrameReading:
        """The counts after `before`; `open` is the present number."""
        counts = {}
        for group, now in self.counts.items():
            old = before.counts.get(group, FrameCount())
            counts[group] = FrameCount(
                now.matched - old.matched,
                now.ambiguous - old.ambiguous,
                now.astray - old.astray,
                now.open,
                now.waited - old.waited,
            )
        return FrameReading(
            counts,
            {key: count - before.times.get(key, 0) for key, count in self.times.items()},
            self.ends,
            self.waiting.since(before.waiting),
        )

    def of_one(self, owner: int) -> FrameReading:
        """Assign all counts to this owner, the only one of the process."""
        counts: dict[Group, FrameCount] = {}
        for (_, way), count in self.counts.items():
            counts[owner, way] = counts.get((owner, way), FrameCount()) + count
        times: dict[tuple[int, int, int, int], int] = {}
        for (_, first, last, slot), number in self.times.items():
            key = owner, first, last, slot
            times[key] = times.get(key, 0) + number
        ends = {(owner, way): slots for (number, way), slots in self.ends.items() if number in (0, owner)}
        return FrameReading(counts, times, ends, self.waiting.of_one(owner))

    def only(self, owners: Collection[int], slots: Mapping[int, int]) -> FrameReading:
        """The counts of these owners, with slots renumbered; frames that ended at other slots are left
        out."""
        return FrameReading(
            {group: count for group, count in self.counts.items() if group[0] in owners},
            {
                (owner, slots[first], slots[last], slot): number
                for (owner, first, last, slot), number in self.times.items()
                if owner in owners and first in slots and last in slots
            },
            {
                group: (slots[first], slots[last])
                for group, (first, last) in self.ends.items()
                if group[0] in owners and first in slots and last in slots
            },
            self.waiting.only(owners, slots),
        )

    def tables(self, probes: Sequence[Probe], owners: Mapping[int, Owner]) -> dict[str, list[dict[str, Any]]]:
        """Tables `frames`, `frame_times`, `waits` and `stops`. `probes` by slot; `owners` by number."""
        rows = []
        for (owner, way), (first, last) in sorted(self.ends.items(), key=lambda item: item[0][::-1]):
            count = self.counts.get((owner, way), FrameCount())
            if not count.frames and owner not in (owners or (0,)):
                continue
            kernel, direction = LANE.unpack(way)
            row = whose(owners.get(owner)) | {"direction": DIRECTIONS[direction].value}
            row |= {"carried": "kernel" if kernel else "qemu"} | _between(probes[first], probes[last])
            row |= {"frames": count.frames, "matched": count.matched, "ambiguous": count.ambiguous}
            rows.append(row | {"unmatched": count.unmatched, "waited": count.waited})
        times = []
        for (owner, first, last, slot), number in sorted(self.times.items()):
            if number:
                row = whose(owners.get(owner)) | {"direction": probes[last].direction.value}
                times.append(row | _between(probes[first], probes[last]) | {"bucket": slot, "count": number})
        return {"frames": rows, "frame_times": times, **self.waiting.tables(probes, owners)}

    def ledger(self, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
        """Ledger rows for the frames in those tables that could not be followed, and for those that
        stopped."""
        rows = [
            {
                "kind": kind,
                "item": f"{row['direction']} frames from {row['from_function']} to {row['to_function']}"
                + _of(row),
                "count": row[kind],
                "note": note,
            }
            for row in tables["frames"]
            for kind, note in _NOTES.items()
            if row[kind]
        ]
        for row in tables["stops"]:
            item = f"{row['direction']} frames at {row['function'] or 'several stages'}{_of(row)}"
            rows.append({"kind": "stopped", "item": item, "count": row["frames"], "note": row["why"]})
        return rows


def _of(row: Mapping[str, Any]) -> str:
    """The owner of a row, behind a comma; empty if there is only one."""
    return (f", {row['netdev_id']}" if row["netdev_id"] else "") + (
        f" queue {row['queue']}" if row["queue"] else ""
    )


def _between(first: Probe, last: Probe) -> dict[str, Any]:
    return {
        "from_stage": first.role,
        "from_function": first.function,
        "to_stage": last.role,
        "to_function": last.function,
    }


def group_index(group: Group) -> ctypes.c_int:
    """The index of a group in the kernel's arrays."""
    return ctypes.c_int(GROUP.pack(*group))
