"""Frames that stopped on their way (probes/frames.bpf.c): the waiting time of those that went on, and the
stage of the others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from qtrace.model import Probe
from qtrace.probes.common import DIRECTIONS, EDGE, NO_SLOT
from qtrace.probes.frames import CARRIED, GROUP, LANE, STOP
from qtrace.trace.frames.reasons import UNDER_WAY, reasons, without_gone
from qtrace.trace.qemu.owners import Owner

__all__ = ["Waiting", "whose"]

_UNDER_WAY_NS = 10_000_000  # a frame that takes longer to the next stage is delayed
_SEVERAL = NO_SLOT  # the waiting frames had stopped at different stages


@dataclass(frozen=True, slots=True)
class Waiting:
    """`times`: the number of identified frames that waited 2^x ns, by (owner, slot where they stopped, slot
    where they went on, x). `stops`: frames that have not gone on, by (owner, LANE, slot). `under_way`: those
    of them that stopped so recently that they may still be moving. `paused`: groups with stopped frames at
    the time when functions stopped being counted for a while."""

    times: Mapping[tuple[int, int, int, int], int] = field(default_factory=dict)
    stops: Mapping[tuple[int, int, int], int] = field(default_factory=dict)
    under_way: Mapping[tuple[int, int, int], int] = field(default_factory=dict)
    paused: frozenset[tuple[int, int]] = frozenset()

    @classmethod
    def of(cls, module: Any, until: float, paused: Collection[tuple[int, int]]) -> Waiting:
        """Read the kernel's maps; counting stopped at `until` (s, CLOCK_MONOTONIC), or goes on."""
        times: dict[tuple[int, int, int, int], int] = {}
        for key, cpus in module[b"frame_waits"].items():
            owner, stopped, went_on, x = EDGE.unpack(key.value)
            times[owner, stopped, went_on, x] = int(sum(cpus))
        stops: dict[tuple[int, int, int], int] = {}
        under_way: dict[tuple[int, int, int], int] = {}
        for key, frames in module[b"frame_stops"].items():
            group, slot = STOP.unpack(key.value)
            owner, way = GROUP.unpack(group)
            stops[owner, way, slot] = _signed(int(frames.value))
        for key, frame in module[b"frames_now"].items():
            if frame.open:  # under way, or waiting without a later frame
                _, group = CARRIED.unpack(key.value)
                owner, way = GROUP.unpack(group)
                place = (owner, way, int(frame.slot))
                stops[place] = stops.get(place, 0) + int(frame.number)
                if until * 1e9 - int(frame.latest) < _UNDER_WAY_NS:
                    under_way[place] = under_way.get(place, 0) + int(frame.number)
        return cls(times, stops, under_way, frozenset(paused))

    def since(self, before: Waiting) -> Waiting:
        """The counts after `before`; `stops` are the present ones."""
        times = {key: n - before.times.get(key, 0) for key, n in self.times.items()}
        return replace(self, times=times)

    def of_one(self, owner: int) -> Waiting:
        """Assign all counts to this owner, the only one of the process."""
        times: dict[tuple[int, int, int, int], int] = {}
        for (_, stopped, went_on, x), number in self.times.items():
            times[owner, stopped, went_on, x] = times.get((owner, stopped, went_on, x), 0) + number
        paused = frozenset((owner, way) for _, way in self.paused)
        return Waiting(times, _of_one(self.stops, owner), _of_one(self.under_way, owner), paused)

    def only(self, owners: Collection[int], slots: Mapping[int, int]) -> Waiting:
        """The counts of these owners, with slots renumbered."""
        slots = {**slots, _SEVERAL: _SEVERAL}
        times = {
            (owner, slots[stopped], slots[went_on], x): number
            for (owner, stopped, went_on, x), number in self.times.items()
            if owner in owners and stopped in slots and went_on in slots
        }
        stops, under_way = (
            {
                (owner, way, slots[slot]): number
                for (owner, way, slot), number in places.items()
                if owner in owners and slot in slots
            }
            for places in (self.stops, self.under_way)
        )
        paused = frozenset(group for group in self.paused if group[0] in owners)
        return Waiting(times, stops, under_way, paused)

    def tables(self, probes: Sequence[Probe], owners: Mapping[int, Owner]) -> dict[str, list[dict[str, Any]]]:
        """Tables `waits` and `stops`. `probes` by slot, `owners` by number, in their present state."""
        waits = []
        for (number, stopped, went_on, x), count in sorted(self.times.items()):
            if count and stopped != _SEVERAL:
                first, last = probes[stopped], probes[went_on]
                row = whose(owners.get(number)) | {"direction": last.direction.value}
                row |= {"from_stage": first.role, "from_function": first.function}
                row |= {"to_stage": last.role, "to_function": last.function}
                waits.append(row | {"bucket": x, "count": count})
        stops = []
        for (number, way), slots in sorted(self._by_group(probes, owners).items()):
            owner = owners.get(number)
            kernel, direction = LANE.unpack(way)
            row = whose(owner) | {"direction": DIRECTIONS[direction].value}
            if frames := slots.pop(_SEVERAL, 0):
                several = {"stage": "", "function": "", "why": "stopped at several stages"}
                stops.append(row | several | {"frames": frames})
            for slot in list(slots):
                if moving := min(self.under_way.get((number, way, slot), 0), slots[slot]):
                    slots[slot] -= moving
                    stops.append(row | _at(probes[slot]) | {"why": UNDER_WAY, "frames": moving})
            still = {slot: frames for slot, frames in slots.items() if frames}
            for slot, why, frames in reasons(
                still, probes, owner, kernel=bool(kernel), paused=(number, way) in self.paused
            ):
                stops.append(row | _at(probes[slot]) | {"why": why, "frames": frames})
        return {"waits": waits, "stops": stops}

    def _by_group(
        self, probes: Sequence[Probe], owners: Mapping[int, Owner]
    ) -> dict[tuple[int, int], dict[int, int]]:
        """Counts by (owner, lane); if the stages of frames that went on are unknown, only the sum."""
        found: dict[tuple[int, int], dict[int, int]] = {}
        for (owner, way, slot), frames in self.stops.items():
            if frames:
                found.setdefault((owner, way), {})[slot] = frames
        for (owner, way), slots in found.items():
            if gone := -slots.pop(_SEVERAL, 0):
                kernel, _ = LANE.unpack(way)
                told = None if kernel else without_gone(slots, gone, probes, owners.get(owner))
                rest = sum(slots.values()) - gone
                found[owner, way] = told if told is not None else {_SEVERAL: rest} if rest > 0 else {}
        return found


def _of_one(places: Mapping[tuple[int, int, int], int], owner: int) -> dict[tuple[int, int, int], int]:
    found: dict[tuple[int, int, int], int] = {}
    for (_, way, slot), number in places.items():
        found[owner, way, slot] = found.get((owner, way, slot), 0) + number
    return found


def _at(probe: Probe) -> dict[str, Any]:
    return {"stage": probe.role, "function": probe.function}


def whose(owner: Owner | None) -> dict[str, Any]:
    """The columns that identify an owner."""
    return {"netdev_id": owner.netdev if owner else "", "queue": owner.queue if owner else 0}


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number
