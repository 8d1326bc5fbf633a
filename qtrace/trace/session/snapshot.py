"""The counts of a session, and their conversion to tables of a run (docs/run-format.md)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from qtrace.model import Probe
from qtrace.probes.common import OWNERS
from qtrace.probes.shared import Loss
from qtrace.trace.frames.followed import FrameReading
from qtrace.trace.qemu.owners import Owner, through_hubs
from qtrace.trace.qemu.target import ThreadTimes
from qtrace.trace.session.conservation import NOT_SEEN, broken_laws, unprobed_ways

__all__ = ["Count", "Snapshot", "Stage"]


@dataclass(frozen=True, slots=True)
class Count:
    """Hits of a stage, with their frames and bytes; `seen` are hits while functions were counted
    too."""

    calls: int = 0
    frames: int = 0
    bytes: int = 0
    seen: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(
            self.calls + other.calls,
            self.frames + other.frames,
            self.bytes + other.bytes,
            self.seen + other.seen,
        )

    def __sub__(self, other: Count) -> Count:
        return Count(
            self.calls - other.calls,
            self.frames - other.frames,
            self.bytes - other.bytes,
            self.seen - other.seen,
        )


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage that was asked for, in its slot; `reason` is why it could not be attached, or empty. `unplaced`
    is why its usual way could not, where another one is."""

    probe: Probe
    how: str
    note: str = ""
    reason: str = ""
    unplaced: str = ""


@dataclass(frozen=True, slots=True)
class OtherWay:
    """Another way of the stage in `slot`; `number` is its own, or 0 if it is not attached for the `reason`,
    or if it is another path's usual way."""

    probe: Probe
    number: int = 0
    slot: int = -1
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Counts by (owner, slot), edges by (owner, from slot, to slot, log2 of ns), system calls by (owner of
    the descriptor, thread, name, class), threads by id, losses, and hits that the kernel dropped by program.
    Owner 0 stands for unknown owners; `unread` is the reason why all are unknown, or empty. `hits` are those
    of all probed functions, including hits without a followed frame; `names` are those of all threads,
    including ended ones."""

    seconds: float
    stages: tuple[Stage, ...]
    owners: tuple[Owner, ...]
    counts: Mapping[tuple[int, int], Count]
    edges: Mapping[tuple[int, int, int, int], int]
    syscalls: Mapping[tuple[int, int, str, str], Count]
    errors: Mapping[tuple[int, int, str, str], int]
    threads: Mapping[int, ThreadTimes]
    lost: Mapping[Loss, int]
    missed: Mapping[str, int]
    frames: FrameReading = field(default_factory=FrameReading)
    unread: str = ""
    beyond: int = 0
    hits: int = 0
    names: Mapping[int, str] = field(default_factory=dict)
    ways: tuple[OtherWay, ...] = ()
    way_counts: Mapping[tuple[int, int], int] = field(default_factory=dict)  # (owner, number) -> hits
    came: tuple[Owner, ...] = ()  # owners that were added after the window began

    def simplified(self) -> Snapshot:
        """The same with all counts assigned to the owner, if the process has only one."""
        if len(self.owners) != 1:
            return self
        number = self.owners[0].number
        counts: dict[tuple[int, int], Count] = {}
        for (_, slot), count in self.counts.items():
            counts[number, slot] = counts.get((number, slot), Count()) + count
        edges: dict[tuple[int, int, int, int], int] = {}
        for (_, before, after, slot), passages in self.edges.items():
            edges[number, before, after, slot] = edges.get((number, before, after, slot), 0) + passages
        ways: dict[tuple[int, int], int] = {}
        for (_, way), hits in self.way_counts.items():
            ways[number, way] = ways.get((number, way), 0) + hits
        frames = self.frames.of_one(number)
        return replace(self, counts=counts, edges=edges, frames=frames, way_counts=ways)

    def only(self, numbers: Collection[int], stages: Collection[tuple[str, str]]) -> Snapshot:
        """The counts of these owners at these stages, each (direction, function). Counts of owner 0 stay."""
        kept = {0, *numbers}
        slots = [
            slot
            for slot, stage in enumerate(self.stages)
            if (stage.probe.direction.value, stage.probe.function) in stages
        ]
        new = {slot: place for place, slot in enumerate(slots)}
        return replace(
            self,
            stages=tuple(self.stages[slot] for slot in slots),
            owners=tuple(owner for owner in self.owners if owner.number in numbers),
            counts={
                (owner, new[slot]): count
                for (owner, slot), count in self.counts.items()
                if owner in kept and slot in new
            },
            edges={
                (owner, new[before], new[after], slot): count
                for (owner, before, after, slot), count in self.edges.items()
                if owner in kept and before in new and after in new
            },
            syscalls={key: count for key, count in self.syscalls.items() if key[0] in kept},
            errors={key: count for key, count in self.errors.items() if key[0] in kept},
            frames=self.frames.only(kept, new),
            way_counts={key: hits for key, hits in self.way_counts.items() if key[0] in kept},
        )

    def total(self, slot: int) -> Count:
        """The count of a stage over all known owners; of owner 0 only if no owner is known."""
        mine = [
            count for (owner, at), count in self.counts.items() if at == slot and (owner or not self.owners)
        ]
        return sum(mine, Count())

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Table name -> rows without the key columns."""
        whose = {owner.number: owner for owner in self.owners}
        joined = through_hubs(self.owners)
        whose |= {number: owner for number, owner in joined.items() if owner.number == number}
        followed = self.frames.tables([stage.probe for stage in self.stages], whose)
        stages = [self._stage(slot) for slot in range(len(self.stages))]
        unseen = unprobed_ways(stages, self._unprobed()) | broken_laws(stages)
        for slot, why in unseen.items():
            stages[slot] |= {"attached": False, "note": why}
        return {
            **followed,
            "stages": stages,
            "ways": self._ways(),
            "queues": self._queues(),
            "edges": self._edges(),
            "syscalls": self._syscalls(),
            "threads": [used.row(tid) for tid, used in sorted(self.threads.items())],
            "ledger": [*self._unseen(unseen), *self._ledger(), *self.frames.ledger(followed)],
        }

    def _stage(self, slot: int) -> dict[str, Any]:
        stage, count = self.stages[slot], self.total(slot)
        attached = not stage.reason
        return {
            "direction": stage.probe.direction.value,
            "position": stage.probe.position,
            "stage": stage.probe.role,
            "function": stage.probe.function,
            "how": stage.how if attached else "none",
            "attached": attached,
            "calls": count.calls,
            "frames": count.frames,
            "bytes": count.bytes,
            "note": stage.reason or stage.note,
            "observed": 1.0,
            "windowed": False,
        }

    def _unseen(self, laws: Mapping[int, str]) -> list[dict[str, Any]]:
        rows = []
        for slot, why in laws.items():
            probe = self.stages[slot].probe
            item = f"{probe.direction.value} {probe.role}: {probe.function}"
            note = why.removeprefix(f"{NOT_SEEN}: ")
            rows.append({"kind": NOT_SEEN, "item": item, "count": 1, "note": note})
        return rows

    def _ways(self) -> list[dict[str, Any]]:
        """Rows for each stage with several ways, the usual way first."""
        rows = []
        for slot, stage in enumerate(self.stages):
            others = [way for way in self.ways if self._is_of(way, stage.probe)]
            hits = {way.number: self._hits(way.number) for way in others if way.number}
            usual = self.total(slot).calls - sum(hits.values())
            counts = [(stage.probe.function, stage.reason or stage.unplaced, usual)] if others else []
            counts += [(way.probe.function, way.reason, hits.get(way.number, 0)) for way in others]
            rows += [
                {
                    "direction": stage.probe.direction.value,
                    "position": stage.probe.position,
                    "stage": stage.probe.role,
                    "function": function,
                    "attached": not reason,
                    "calls": calls,
                    "note": reason,
                }
                for function, reason, calls in counts
            ]
        return rows

    def _unprobed(self) -> dict[int, list[str]]:
        """Slot -> the other ways of its stage that are not attached."""
        found: dict[int, list[str]] = {}
        for slot, stage in enumerate(self.stages):
            for way in self.ways:
                if way.reason and self._is_of(way, stage.probe):
                    found.setdefault(slot, []).append(way.probe.function)
        return found

    def _is_of(self, way: OtherWay, probe: Probe) -> bool:
        """Whether it is another way of the stage whose usual way `probe` measures."""
        mine = (way.probe.direction, way.probe.stage, way.probe.way_of)
        return mine == (probe.direction, probe.stage, probe.function)

    def _hits(self, number: int) -> int:
        return sum(
            hits
            for (owner, way), hits in self.way_counts.items()
            if way == number and (owner or not self.owners)
        )

    def _queues(self) -> list[dict[str, Any]]:
        """Rows of each owner's counts, if there are several owners."""
        if len(self.owners) < 2:
            return []
        return [
            {
                "netdev_id": owner.netdev,
                "card": owner.card,
                "queue": owner.queue,
                "direction": stage.probe.direction.value,
                "position": stage.probe.position,
                "stage": stage.probe.role,
                "function": stage.probe.function,
                "calls": count.calls,
                "frames": count.frames,
                "bytes": count.bytes,
            }
            for owner in self.owners
            for slot, stage in enumerate(self.stages)
            if (count := self.counts.get((owner.number, slot), Count())).calls
        ]

    def _edges(self) -> list[dict[str, Any]]:
        summed: dict[tuple[int, int, int], int] = {}
        for (_, before, after, slot), count in self.edges.items():
            summed[before, after, slot] = summed.get((before, after, slot), 0) + count
        return [self._edge(*key, count) for key, count in sorted(summed.items()) if count]

    def _edge(self, before: int, after: int, slot: int, count: int) -> dict[str, Any]:
        start, end = self.stages[before].probe, self.stages[after].probe
        return {
            "direction": end.direction.value,
            "from_stage": start.role,
            "from_function": start.function,
            "to_stage": end.role,
            "to_function": end.function,
            "bucket": slot,
            "count": count,
        }

    def _syscalls(self) -> list[dict[str, Any]]:
        calls: dict[tuple[int, str, str], Count] = {}
        errors: dict[tuple[int, str, str], int] = {}
        for (owner, tid, name, fd), count in self.syscalls.items():
            calls[tid, name, fd] = calls.get((tid, name, fd), Count()) + count
            failed = self.errors.get((owner, tid, name, fd), 0)
            errors[tid, name, fd] = errors.get((tid, name, fd), 0) + failed
        return [
            {
                "thread": self.names.get(tid, ""),
                "tid": tid,
                "name": name,
                "fd": fd,
                "calls": count.calls,
                "errors": errors[tid, name, fd],
                "bytes": count.bytes,
            }
            for (tid, name, fd), count in sorted(calls.items())
            if count.calls
        ]

    def _ledger(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for stage in self.stages:
            if stage.reason:
                item = f"{stage.probe.direction.value} {stage.probe.role or 'step'}: {stage.probe.function}"
                rows.append({"kind": "unattached", "item": item, "count": 1, "note": stage.reason})
        if self.beyond:
            note = "hits of these queues may be counted for another queue"
            item = f"queues beyond the {OWNERS - 1} that can be distinguished"
            rows.append({"kind": "shared", "item": item, "count": self.beyond, "note": note})
        for slot, stage in enumerate(self.stages):
            nobodys = self.counts.get((0, slot), Count()).calls
            if self.owners and nobodys:
                item = f"{stage.probe.direction.value} {stage.probe.role or 'step'}: {stage.probe.function}"
                note = "calls of an unknown netdev: no row has them"
                rows.append({"kind": "unattributed", "item": item, "count": nobodys, "note": note})
        for owner in self.came:
            note = "it was added in the window: earlier frames of it are in the rows of others"
            rows.append({"kind": "plugged in", "item": str(owner), "count": 1, "note": note})
        for loss, count in self.lost.items():
            if count:
                rows.append({"kind": "lost", "item": loss.item, "count": count, "note": loss.note})
        for program, count in self.missed.items():
            if count:
                note = "the kernel skipped the program: it was hit while it ran"
                rows.append({"kind": "missed", "item": program, "count": count, "note": note})
        return rows
