"""Ways that NICs of one process share: one NIC's other way across a stage may be another NIC's usual way.

A function has one probe for each direction, so its hits are in the slot of the NIC whose usual way it is
(`pci_set_irq` of an e1000). The owner tells whose they are (those of an e1000e without MSI-X).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from qtrace.model import Direction, Probe, Role
from qtrace.trace.session.snapshot import Count, OtherWay, Snapshot

__all__ = ["SharedWay", "with_shared_ways"]

_FIRST = 1 << 16  # numbers of these ways, beyond those of a session


@dataclass(frozen=True, slots=True)
class SharedWay:
    """`function` is another way across a NIC's stage whose usual way is `usual`."""

    direction: Direction
    stage: Role
    function: str
    usual: str


def with_shared_ways(whole: Snapshot, part: Snapshot, ways: Collection[SharedWay]) -> Snapshot:
    """`part`, one NIC's part of `whole`, with the hits of its owners that are in a slot of another NIC.

    `ways` are the NIC's other ways."""
    slots = {_key(stage.probe): slot for slot, stage in enumerate(part.stages)}
    numbers = [owner.number for owner in part.owners]
    stages, others = list(part.stages), list(part.ways)
    counts, hits = dict(part.counts), dict(part.way_counts)
    for way in ways:
        slot = slots.get((way.direction, way.stage, way.usual))
        if slot is None or (way.direction, way.stage, way.function) in slots:
            continue
        for probe, found in _counted(whole, way, slots, numbers):
            number = _FIRST + len(others)
            others.append(OtherWay(replace(probe, way_of=way.usual), number, slot))
            if stages[slot].reason:
                usual = stages[slot]
                stages[slot] = replace(usual, how=probe.kind, reason="", unplaced=usual.reason)
            for owner, count in found.items():
                counts[owner, slot] = counts.get((owner, slot), Count()) + count
                hits[owner, number] = count.calls
    return replace(part, stages=tuple(stages), ways=tuple(others), counts=counts, way_counts=hits)


def _counted(
    whole: Snapshot, wanted: SharedWay, mine: Collection[object], numbers: Collection[int]
) -> Iterator[tuple[Probe, dict[int, Count]]]:
    """What these owners counted at the function in slots that are not `mine`."""
    for slot, stage in enumerate(whole.stages):
        if _key(stage.probe) in mine or stage.reason:
            continue
        others = [way for way in whole.ways if way.number and way.slot == slot]
        for way in others:
            if _is(way.probe, wanted):
                yield way.probe, {at: Count(whole.way_counts.get((at, way.number), 0)) for at in numbers}
        if _is(stage.probe, wanted) and not stage.unplaced:
            beside = {at: sum(whole.way_counts.get((at, way.number), 0) for way in others) for at in numbers}
            yield (
                stage.probe,
                {at: whole.counts.get((at, slot), Count()) - Count(beside[at]) for at in numbers},
            )


def _is(probe: Probe, way: SharedWay) -> bool:
    return _key(probe) == (way.direction, way.stage, way.function)


def _key(probe: Probe) -> tuple[Direction, Role | None, str]:
    return probe.direction, probe.stage, probe.function
