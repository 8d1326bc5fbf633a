"""What QEMU copies on the way of a NIC's frames: where its copying functions are, and the table `copies`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from qtrace.measure.placement import Placement
from qtrace.measure.qemu_process import QemuProcess
from qtrace.model import Direction, Role
from qtrace.probes.qemu_copies import COPIES, FAMILY, SPACE, Copying
from qtrace.store.index import Index
from qtrace.trace.instruments.copy_counter import CopyCounter, CopyPlace
from qtrace.trace.session.session import Session
from qtrace.trace.session.snapshot import Count, Snapshot

__all__ = ["Copied"]

# What is never counted, whatever the binary.
_INLINE = "copies without a function of their own"
_INLINE_NOTE = "memcpy in a caller's body (headers of a constant size), and what a library copies inside"


class Copied:
    """Attached to a session on the process. Raises BinaryError."""

    def __init__(self, session: Session, process: QemuProcess) -> None:
        index, placement = process.index, process.placement
        struct, _, field = SPACE.partition(".")
        space = index.offsets(struct).get(field)
        places = [_place(function, index, placement, space) for function in COPIES]
        placement.save()
        self._counter: CopyCounter = session.count_copies(places, space or 0)

    def tables(self, snapshot: Snapshot, owners: Collection[int]) -> dict[str, list[dict[str, Any]]]:
        """`copies` of these owners in the window that has ended, and `ledger` rows."""
        if not snapshot.owners:
            row = {"kind": "unattached", "item": "copies: whose they are is not known", "count": 1}
            return {"copies": [], "ledger": [row | {"note": snapshot.unread}]}
        known = {owner.number: owner for owner in snapshot.owners if owner.number in owners}
        counts = self._counter.counts({0, *known})
        alone = len(snapshot.owners) == 1
        rows, lost = [], 0
        for number, owner in known.items():
            for direction in Direction:
                carried = _handed_over(snapshot, number, direction)
                for place, copying in enumerate(self._counter.places):
                    calls, data = counts[number, direction, place]
                    nobodys = counts[0, direction, place]
                    if alone:  # what is nobody's is of the only one
                        calls, data = calls + nobodys[0], data + nobodys[1]
                    else:
                        lost += nobodys[0]
                    rows.append(
                        {
                            "netdev_id": owner.netdev,
                            "queue": owner.queue,
                            "direction": direction.value,
                            "function": copying.function,
                            "file": copying.file,
                            "line": copying.line,
                            "attached": not copying.reason,
                            "note": copying.reason,
                            "calls": calls,
                            "bytes": data,
                            "frames": carried.frames,
                            "frame_bytes": carried.bytes,
                        }
                    )
        ledger = [{"kind": "not counted", "item": _INLINE, "count": 1, "note": _INLINE_NOTE}]
        if lost:
            note = "calls in a frame that belongs to no netdev that is known"
            count = lost // len(known)  # each owner has met them
            ledger.append({"kind": "unattributed", "item": "copies", "count": count, "note": note})
        ledger += [
            {"kind": "unattached", "item": f"copies by {place.function}", "count": 1, "note": place.reason}
            for place in self._counter.places
            if place.reason
        ]
        return {"copies": rows, "ledger": ledger if known else []}


def _handed_over(snapshot: Snapshot, owner: int, direction: Direction) -> Count:
    """What was handed to the peer meanwhile."""
    counts = [
        snapshot.counts.get((owner, slot), Count())
        for slot, stage in enumerate(snapshot.stages)
        if stage.probe.role == Role.DELIVER and stage.probe.direction is direction and not stage.reason
    ]
    return sum(counts, Count())


def _place(function: str, index: Index, placement: Placement, space: int | None) -> CopyPlace:
    rows = [row for row in index.function(function) if row.file and row.line]
    file, line = (rows[0].file, rows[0].line) if rows else ("", 0)
    if COPIES[function] is Copying.DMA and space is None:
        return CopyPlace(function, file, line, reason=f"the source index does not say where {SPACE} lies")
    found = placement.locate_in_program(function, file)
    if found is None:
        return CopyPlace(function, file, line, reason=f"{function} could not be found again in this binary")
    path, symbol = found
    point = next(point for point in FAMILY.points if point.function == function)
    entry = placement.entry(path, symbol, point.arguments)
    return CopyPlace(function, file, line, str(path), entry.offset)
