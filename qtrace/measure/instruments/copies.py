"""Bytes that QEMU copies on the paths of a NIC's frames, by function: the run's table `copies`.

The functions are those of util/iov.c, of net/queue.c, and of physical memory's DMA (include/sysemu/dma.h).

Inlined copies are not counted: memcpy, and iov_to_buf with a constant size (include/qemu/iov.h), which copies
headers.
"""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

from qtrace.errors import TargetError, TraceError
from qtrace.measure.effort import Effort
from qtrace.measure.placement import Placement
from qtrace.measure.qemu_process import QemuProcess
from qtrace.model import Direction, Role
from qtrace.probes.common import DIRECTIONS, OWNERS
from qtrace.probes.family import Family, Point
from qtrace.probes.shared import Key, Shared
from qtrace.store.index import Index
from qtrace.store.run import Tables
from qtrace.store.run_schema import TABLES
from qtrace.trace.bpf.tally import Tally
from qtrace.trace.session.instrument import Tracing
from qtrace.trace.session.level import Level
from qtrace.trace.session.snapshot import Count, Snapshot

__all__ = ["COLUMNS", "COPY", "FAMILY", "SHARED", "Copies", "find_beforehand", "instrument", "lines"]

_MOST_SITES = 8
# `copies`: an array with one element for each function, direction and owner.
COPY = Key("COPY_INDEX", owner=OWNERS, direction=len(DIRECTIONS), number=_MOST_SITES)
_PROGRAM, _ARGUMENTS = "on_copy", 5
# The offset of a PCI device's own address space, which identifies the device of a DMA access.
_SPACE = "PCIDevice.bus_master_as"
# Ledger item for copies that no probe can count, in any binary.
_INLINE = "copies without a function of their own"
_INLINE_NOTE = "memcpy in a caller's body (headers of a constant size), and what a library copies inside"


class Copying(IntEnum):
    """The arguments of a copying function."""

    DMA = 0
    VECTOR = 1
    QUEUED = 2
    QUEUED_VECTOR = 3


# Function -> its arguments. iov_copy copies vectors, not bytes. All DMA of PCI devices with a buffer passes
# address_space_rw (include/sysemu/dma.h), which may or may not call its two parts: these are not counted.
_COPIES = {
    "address_space_rw": Copying.DMA,
    "iov_to_buf_full": Copying.VECTOR,
    "iov_from_buf_full": Copying.VECTOR,
    "qemu_net_queue_append": Copying.QUEUED,
    "qemu_net_queue_append_iov": Copying.QUEUED_VECTOR,
}
SHARED = Shared(enums={"COPY": Copying}, keys=(COPY,))
FAMILY = Family(
    name="copies",
    summary="entry of QEMU's functions that copy bytes: calls and bytes of frames, at the level full",
    needs=("uprobes",),
    points=tuple(Point(function, (("uprobe", _PROGRAM),), arguments=_ARGUMENTS) for function in _COPIES),
    layout=(_SPACE, "NetClientState.info", "NetClientInfo.type"),
    tables=("copy_sites",),
)
COLUMNS = (TABLES["copies"],)


def instrument(process: QemuProcess, effort: Effort) -> Copies | None:
    """The instrument, at the level full."""
    return Copies(process) if effort.level is Level.FULL else None


@dataclass(frozen=True, slots=True)
class _Place:
    """A function of `_COPIES`: its place in the source (`line` 0: not indexed), and the byte `offset` of the
    file `binary` at which it is probed; `reason` is why it is not probed, or empty."""

    function: str
    file: str
    line: int
    binary: str = ""
    offset: int = 0
    reason: str = ""


class Copies:
    """Counts calls and bytes by owner, direction and function."""

    family = FAMILY
    columns = COLUMNS

    def __init__(self, process: QemuProcess) -> None:
        self._space = _offset_of_space(process.index)
        self._places = _find(process.index, process.placement)

    def open(self, tracing: Tracing) -> None:
        """Attach; a function that cannot be probed gets the reason."""
        space = tracing.module[b"copy_space"]
        space[ctypes.c_int(0)] = space.Leaf(self._space or 0)
        self._tally = Tally(tracing.module, "copies")
        self._places = [_placed(tracing, number, place) for number, place in enumerate(self._places)]

    def begin(self) -> None:
        """Begin a window."""
        self._tally.begin()

    def tables(self, snapshot: Snapshot, owners: Collection[int]) -> Tables:
        """Table `copies` of these owners in the last window, and `ledger` rows."""
        if not snapshot.owners:
            row = {"kind": "unattached", "item": "copies: their owners are unknown", "count": 1}
            return {"copies": [], "ledger": [row | {"note": snapshot.unread}]}
        known = {owner.number: owner for owner in snapshot.owners if owner.number in owners}
        counts = self._counts({0, *known})
        alone = len(snapshot.owners) == 1
        rows, lost = [], 0
        for number, owner in known.items():
            for direction in Direction:
                carried = _handed_over(snapshot, number, direction)
                for at, place in enumerate(self._places):
                    calls, data = counts[number, direction, at]
                    nobodys = counts[0, direction, at]
                    if alone:  # with a single owner, calls without an owner are its own
                        calls, data = calls + nobodys[0], data + nobodys[1]
                    else:
                        lost += nobodys[0]
                    rows.append(
                        {
                            "netdev_id": owner.netdev,
                            "queue": owner.queue,
                            "direction": direction.value,
                            "function": place.function,
                            "file": place.file,
                            "line": place.line,
                            "attached": not place.reason,
                            "note": place.reason,
                            "calls": calls,
                            "bytes": data,
                            "frames": carried.frames,
                            "frame_bytes": carried.bytes,
                        }
                    )
        ledger = self._ledger(lost // max(1, len(known)))  # calls without an owner are in each
        return {"copies": rows, "ledger": ledger if known else []}

    def _ledger(self, lost: int) -> list[dict[str, Any]]:
        ledger = [{"kind": "not counted", "item": _INLINE, "count": 1, "note": _INLINE_NOTE}]
        if lost:
            note = "calls for frames of an unknown netdev"
            ledger.append({"kind": "unattributed", "item": "copies", "count": lost, "note": note})
        ledger += [
            {"kind": "unattached", "item": f"copies by {place.function}", "count": 1, "note": place.reason}
            for place in self._places
            if place.reason
        ]
        return ledger

    def _counts(self, owners: Collection[int]) -> Mapping[tuple[int, Direction, int], tuple[int, int]]:
        """(owner, direction, number of the function) -> (calls, bytes) in this window."""
        keys = {
            COPY.pack(owner, way, number): (owner, direction, number)
            for owner in owners
            for way, direction in enumerate(DIRECTIONS)
            for number in range(len(self._places))
        }
        return {keys[index]: count for index, count in self._tally.read(keys).items()}

    def conditions(self) -> dict[str, str]:
        """No conditions."""
        return {}

    def close(self) -> None:
        """Nothing to close: the session owns the probes."""


def lines(tables: Tables) -> Iterator[str]:
    """Lines for `record`: bytes by direction and function, with the ratio to the bytes carried."""
    for direction in Direction:
        mine = [row for row in tables.get("copies", []) if row["attached"] and row["direction"] == direction]
        first = [row for row in mine if row["function"] == mine[0]["function"]]  # one row for each queue
        frames, carried = (sum(row[name] for row in first) for name in ("frames", "frame_bytes"))
        total = sum(row["bytes"] for row in mine)
        if not frames and not total:
            continue
        ratio = f", {total / carried:.2f} for each byte carried" if carried else ""
        yield f"{direction.value} copied: {total:,} bytes, {frames:,} frames handed over{ratio}"
        for row in mine:
            if row["calls"]:
                where = f"{row['file']}:{row['line']}" if row["file"] else ""
                each = f"{row['bytes'] / row['frames']:>12,.1f} a frame" if row["frames"] else ""
                yield f"   {row['function']:<28}{where:<22}{row['calls']:>12,}{row['bytes']:>16,}{each}"


def _handed_over(snapshot: Snapshot, owner: int, direction: Direction) -> Count:
    """Frames and bytes that were handed to the peer meanwhile."""
    counts = [
        snapshot.counts.get((owner, slot), Count())
        for slot, stage in enumerate(snapshot.stages)
        if stage.probe.role == Role.DELIVER and stage.probe.direction is direction and not stage.reason
    ]
    return sum(counts, Count())


def find_beforehand(index: Index, placement: Placement) -> None:
    """Find the functions and keep the results in the cache, for a machine in which that would take long."""
    _find(index, placement)


def _find(index: Index, placement: Placement) -> list[_Place]:
    found = [_place(function, index, placement) for function in _COPIES]
    placement.save()
    return found


def _offset_of_space(index: Index) -> int | None:
    struct, _, field = _SPACE.partition(".")
    return index.offsets(struct).get(field)


def _place(function: str, index: Index, placement: Placement) -> _Place:
    rows = [row for row in index.function(function) if row.file and row.line]
    file, line = (rows[0].file, rows[0].line) if rows else ("", 0)
    if _COPIES[function] is Copying.DMA and _offset_of_space(index) is None:
        return _Place(function, file, line, reason=f"the source index has no offset of {_SPACE}")
    found = placement.locate_in_program(function, file)
    if found is None:
        return _Place(function, file, line, reason=f"{function} was not found in this binary")
    path, symbol = found
    entry = placement.entry(path, symbol, _ARGUMENTS)
    return _Place(function, file, line, str(path), entry.offset)


def _placed(tracing: Tracing, number: int, place: _Place) -> _Place:
    """The same function after attaching its probe."""
    if place.reason:
        return place
    sites = tracing.module[b"copy_sites"]
    try:
        address = tracing.target.address_of(Path(place.binary), place.offset)
        sites[ctypes.c_uint64(address)] = sites.Leaf(kind=_COPIES[place.function], number=number)
        tracing.attached.uprobe(_PROGRAM, Path(place.binary), place.offset)
    except (TargetError, TraceError) as exc:
        return replace(place, reason=str(exc))
    return place
