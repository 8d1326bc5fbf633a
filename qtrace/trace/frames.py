"""Frames from their first stage to their last (probes/frames.bpf.c): how many can be followed, and how long
each took."""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qtrace.model import Direction, Path, Probe, Role
from qtrace.probes import point_for
from qtrace.trace.owners import Owner

__all__ = ["MOST_STAGES", "Follower", "FrameCount", "FrameReading", "forget"]

_TAKES, _FIRST, _LAST = 1, 2, 4  # kept equal to frames.bpf.c
_NOTICES = (Role.KICK, Role.INTERRUPT)  # one of them may stand for many frames
_KERNEL = ("kprobe", "kretprobe")
_WAYS = tuple(Direction)
_GROUPS = 4  # of an owner
MOST_STAGES = 64  # kept equal to SLOTS in probes/common.bpf.c


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
    ends: Mapping[Group, tuple[int, int]] = field(default_factory=dict)  # (first slot, last slot)

    @classmethod
    def of(cls, module: Any, owners: Iterable[int], ends: Mapping[Group, tuple[int, int]]) -> FrameReading:
        """As the kernel's maps stand now; `ends` are `Follower.ends`."""
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
        return cls(counts, times, dict(ends))

    def since(self, before: FrameReading) -> FrameReading:
        """What was counted after `before`; `open` is as it is now."""
        counts = {}
        for group, now in self.counts.items():
            old = before.counts.get(group, FrameCount())
            counts[group] = FrameCount(
                now.matched - old.matched, now.ambiguous - old.ambiguous, now.astray - old.astray, now.open
            )
        return FrameReading(
            counts,
            {key: count - before.times.get(key, 0) for key, count in self.times.items()},
            self.ends,
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
        ends = {(owner, way): slots for (number, way), slots in self.ends.items() if number in (0, owner)}
        return FrameReading(counts, times, ends)

    def only(self, owners: Collection[int], slots: Mapping[int, int]) -> FrameReading:
        """What these owners have, with slots renumbered; what ended elsewhere is left out."""
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
        )

    def tables(
        self, probes: Sequence[Probe], owners: Mapping[int, tuple[str, int]]
    ) -> dict[str, list[dict[str, Any]]]:
        """Tables `frames` and `frame_times`. `probes` by slot; `owners`: netdev and queue by number."""
        rows = []
        for (owner, way), (first, last) in sorted(self.ends.items(), key=lambda item: item[0][::-1]):
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


class Follower:
    """Tells the programs which slots an owner's frames are followed by, where they begin and where they end.

    `paths` are those that were planned; `probes` and `attached` are by slot.
    """

    def __init__(
        self, module: Any, paths: Sequence[Path], probes: Sequence[Probe], attached: Sequence[bool]
    ) -> None:
        self._module, self._paths = module, paths
        self._slots = [slot for slot, probe in enumerate(probes) if attached[slot] and _carries(probe)]
        self._probes = probes
        self._written: dict[int, dict[int, int]] = {}
        self.ends: dict[Group, tuple[int, int]] = {}
        places = module[b"places"]
        for slot, probe in enumerate(probes):
            place = places[ctypes.c_int(slot)]
            place.kernel = int(probe.kind in _KERNEL)
            places[ctypes.c_int(slot)] = place

    def update(self, owners: Iterable[Owner]) -> None:
        """Write what has changed; 0 is whoever is not told apart."""
        parts = {0: self._of(None), **{owner.number: self._of(owner) for owner in owners}}
        table = self._module[b"frame_parts"]
        for number in parts.keys() | self._written.keys():
            slots = parts.get(number, {})
            if self._written.get(number) != slots:
                for slot in range(MOST_STAGES):
                    table[ctypes.c_int(number * MOST_STAGES + slot)] = table.Leaf(slots.get(slot, 0))
        self._written = parts
        self.ends = {}
        for number, slots in parts.items():
            for slot, part in slots.items():
                if part & _FIRST:
                    way = _way(self._probes[slot])
                    last = next(
                        at for at, bits in slots.items() if bits & _LAST and _way(self._probes[at]) == way
                    )
                    self.ends[number, way] = slot, last

    def _of(self, owner: Owner | None) -> dict[int, int]:
        """Slot -> its part, on the one path that this owner's frames take each way."""
        found: dict[int, int] = {}
        for way in range(_GROUPS):
            slots = self._route(owner, way)
            if len(slots) < 2:
                continue
            found |= dict.fromkeys(slots, _TAKES)
            found[slots[0]] |= _FIRST
            found[slots[-1]] |= _LAST
        return found

    def _route(self, owner: Owner | None, way: int) -> list[int]:
        direction, kernel = _WAYS[way & 1], bool(way & 2)
        paths = [
            path
            for path in self._paths
            if path.direction == direction and (path.datapath == "vhost-net") == kernel
        ]
        if owner is not None and len({(path.nic, path.netdev) for path in paths}) > 1:
            paths = [path for path in paths if _is_of(path, owner)]
        routes = {frozenset(step.function for step in path.stages) for path in paths}
        if len(routes) != 1:  # whose way it is cannot be told
            return []
        mine = [
            slot
            for slot in self._slots
            if _way(self._probes[slot]) == way and self._probes[slot].function in next(iter(routes))
        ]
        return sorted(mine, key=lambda slot: self._probes[slot].position)


def _is_of(path: Path, owner: Owner) -> bool:
    kind = "tap" if path.netdev == "bridge" else path.netdev  # a bridge helper's is a tap
    return (path.nic, kind) == (owner.nic, owner.driver)


def _way(probe: Probe) -> int:
    return _WAYS.index(probe.direction) + 2 * (probe.kind in _KERNEL)


def _carries(probe: Probe) -> bool:
    """Whether a hit says how many frames it carries."""
    if probe.stage in _NOTICES:
        return False
    if probe.kind == "tracepoint":
        return probe.rule == "tap"  # what a socket's system call carries may be a piece of a stream
    point = point_for(probe.function, probe.kind)
    return probe.rule not in ("calls", "either") or bool(point and point.table)


def _between(first: Probe, last: Probe) -> dict[str, Any]:
    return {
        "from_stage": first.role,
        "from_function": first.function,
        "to_stage": last.role,
        "to_function": last.function,
    }


def _place(group: Group) -> ctypes.c_int:
    """Where a group is in the kernel's arrays."""
    owner, way = group
    return ctypes.c_int(owner << 2 | way)
