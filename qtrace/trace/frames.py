"""Frames from their first stage to their last (probes/frames.bpf.c): how many can be followed, and how long
each took."""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qtrace.model import Direction, Probe, Role
from qtrace.probes import point_for

__all__ = ["FrameCount", "FrameReading", "ends_of", "forget", "mark_parts"]

_TAKES, _FIRST, _LAST = 1, 2, 4  # kept equal to frames.bpf.c
_NOTICES = (Role.KICK, Role.INTERRUPT)  # one of them may stand for many frames
_KERNEL = ("kprobe", "kretprobe")
_WAYS = tuple(Direction)
_GROUPS = 4  # of an owner


@dataclass(frozen=True, slots=True)
class FrameCount:
    """`matched`: from the first stage to the last, in this order. `ambiguous`: it ended, and could have been
    one of several. `astray`: it ended, but had not begun. `open`: it began, and was not seen to end."""

    matched: int = 0
    ambiguous: int = 0
    astray: int = 0
    open: int = 0

    def __add__(self, other: FrameCount) -> FrameCount:
        return FrameCount(
            self.matched + other.matched,
            self.ambiguous + other.ambiguous,
            self.astray + other.astray,
            self.open + other.open,
        )

    @property
    def frames(self) -> int:
        """All of them, each once."""
        return self.matched + self.ambiguous + self.unmatched

    @property
    def unmatched(self) -> int:
        """Those of which only the beginning or only the end was seen."""
        return self.astray + self.open


# (owner, direction + 2 where the kernel carries the frames)
Group = tuple[int, int]


@dataclass(frozen=True, slots=True)
class FrameReading:
    """Counts by group, and how many matched frames took 2^x ns, by (owner, first slot, last slot, x)."""

    counts: Mapping[Group, FrameCount] = field(default_factory=dict)
    times: Mapping[tuple[int, int, int, int], int] = field(default_factory=dict)

    @classmethod
    def of(cls, module: Any, owners: Iterable[int]) -> FrameReading:
        """As the kernel's maps stand now."""
        totals, waiting = module[b"frame_counts"], module[b"frames_waiting"]
        groups = [(owner, way) for owner in owners for way in range(_GROUPS)]
        opened = {group: int(waiting[_place(group)].number) for group in groups}
        for key, frame in module[b"frames_now"].items():
            group = key.value >> 2 & 0x3FFF, key.value & 3
            if frame.open and group in opened:
                opened[group] += int(frame.number)
        counts = {}
        for group, still in opened.items():
            cpus = totals[_place(group)]
            counts[group] = FrameCount(
                sum(int(cpu.matched) for cpu in cpus),
                sum(int(cpu.ambiguous) for cpu in cpus),
                sum(int(cpu.astray) for cpu in cpus),
                still,
            )
        times = {}
        for key, cpus in module[b"frame_times"].items():
            number = key.value
            times[number >> 24, number >> 16 & 0xFF, number >> 8 & 0xFF, number & 0xFF] = int(sum(cpus))
        return cls(counts, times)

    def since(self, before: FrameReading) -> FrameReading:
        """What was counted after `before`; `open` is as it is now."""
        counts = {}
        for group, now in self.counts.items():
            old = before.counts.get(group, FrameCount())
            counts[group] = FrameCount(
                now.matched - old.matched, now.ambiguous - old.ambiguous, now.astray - old.astray, now.open
            )
        return FrameReading(
            counts, {key: count - before.times.get(key, 0) for key, count in self.times.items()}
        )

    def of_one(self, owner: int) -> FrameReading:
        """Everything as this owner's: the process has no other."""
        counts: dict[Group, FrameCount] = {}
        for (_, way), count in self.counts.items():
            counts[owner, way] = counts.get((owner, way), FrameCount()) + count
        times: dict[tuple[int, int, int, int], int] = {}
        for (_, first, last, slot), number in self.times.items():
            key = owner, first, last, slot
            times[key] = times.get(key, 0) + number
        return FrameReading(counts, times)

    def only(self, owners: Collection[int], slots: Mapping[int, int]) -> FrameReading:
        """What these owners have, with slots renumbered; what ended elsewhere is left out."""
        return FrameReading(
            {group: count for group, count in self.counts.items() if group[0] in owners},
            {
                (owner, slots[first], slots[last], slot): number
                for (owner, first, last, slot), number in self.times.items()
                if owner in owners and first in slots and last in slots
            },
        )

    def tables(
        self, probes: Sequence[Probe], attached: Sequence[bool], owners: Mapping[int, tuple[str, int]]
    ) -> dict[str, list[dict[str, Any]]]:
        """Tables `frames` and `frame_times`. `probes` by slot; `owners`: netdev and queue by number."""
        rows = []
        for way, (first, last) in sorted(ends_of(probes, attached).items()):
            for owner in sorted({group[0] for group in self.counts}):
                count = self.counts.get((owner, way), FrameCount())
                if not count.frames and owner not in (owners or (0,)):
                    continue
                netdev, queue = owners.get(owner, ("", 0))
                row = {"netdev_id": netdev, "queue": queue, "direction": _WAYS[way & 1].value}
                row |= {"carried": "kernel" if way & 2 else "qemu"} | _between(probes[first], probes[last])
                row |= {"frames": count.frames, "matched": count.matched}
                rows.append(row | {"ambiguous": count.ambiguous, "unmatched": count.unmatched})
        times = []
        for (owner, first, last, slot), number in sorted(self.times.items()):
            if number:
                netdev, queue = owners.get(owner, ("", 0))
                row = {"netdev_id": netdev, "queue": queue, "direction": probes[last].direction.value}
                times.append(row | _between(probes[first], probes[last]) | {"slot": slot, "count": number})
        return {"frames": rows, "frame_times": times}

    def ledger(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """What the rows of `frames` say of frames that could not be followed."""
        notes = {
            "ambiguous": "several were under way, and which of them ended cannot be told",
            "unmatched": "dropped, waiting, under way at an end of the window, or gone where no probe is",
        }
        return [
            {
                "kind": kind,
                "item": f"{row['direction']} frames from {row['from_function']} to {row['to_function']}"
                + (f", {row['netdev_id']}" if row["netdev_id"] else "")
                + (f" queue {row['queue']}" if row["queue"] else ""),
                "count": row[kind],
                "note": note,
            }
            for row in rows
            for kind, note in notes.items()
            if row[kind]
        ]


def forget(module: Any) -> None:
    """Nothing is under way: a window begins, and all programs are off."""
    module[b"frames_now"].clear()
    module[b"frames_turn"].clear()
    waiting = module[b"frames_waiting"]
    for group in range(len(waiting)):
        waiting[ctypes.c_int(group)] = waiting.Leaf()


def mark_parts(places: Any, probes: Sequence[Probe], attached: Sequence[bool]) -> None:
    """Tell the programs which slots a frame is followed by, where it begins and where it ends."""
    ends = ends_of(probes, attached)
    for slot, probe in enumerate(probes):
        group = _group(probe)
        place = places[ctypes.c_int(slot)]
        place.kernel = group >> 1
        place.part = 0
        if attached[slot] and _carries(probe) and group in ends:
            first, last = ends[group]
            place.part = _TAKES | _FIRST * (slot == first) | _LAST * (slot == last)
        places[ctypes.c_int(slot)] = place


def ends_of(probes: Sequence[Probe], attached: Sequence[bool]) -> dict[int, tuple[int, int]]:
    """Group -> (slot of the first stage that counts frames, of the last), where there are two."""
    groups: dict[int, list[int]] = {}
    for slot, probe in enumerate(probes):
        if attached[slot] and _carries(probe):
            groups.setdefault(_group(probe), []).append(slot)
    found = {}
    for group, slots in groups.items():
        slots.sort(key=lambda slot: probes[slot].position)
        if probes[slots[0]].position < probes[slots[-1]].position:
            found[group] = slots[0], slots[-1]
    return found


def _group(probe: Probe) -> int:
    return _WAYS.index(probe.direction) + 2 * (probe.kind in _KERNEL)


def _carries(probe: Probe) -> bool:
    """Whether a hit says how many frames it carries."""
    if probe.stage in _NOTICES:
        return False
    if probe.kind == "tracepoint":
        return probe.rule == "tap"  # what a socket's system call carries may be a piece of a stream
    point = point_for(probe.function, probe.kind)
    return probe.rule != "calls" or bool(point and point.table)


def _between(first: Probe, last: Probe) -> dict[str, Any]:
    return {
        "from_stage": first.stage.value,
        "from_function": first.function,
        "to_stage": last.stage.value,
        "to_function": last.function,
    }


def _place(group: Group) -> ctypes.c_int:
    """Where a group is in the kernel's arrays."""
    owner, way = group
    return ctypes.c_int(owner << 2 | way)
