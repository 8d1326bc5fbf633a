"""Addresses that the kernel's vhost has QEMU translate: the run's table `iotlb_misses`.

Behind a virtual IOMMU the guest's driver uses I/O addresses. vhost keeps translations of its own; what it
does not have it asks of QEMU, whose main thread answers (vhost_device_iotlb_miss in hw/virtio/vhost.c), and
the queue stands still meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from qtrace.errors import TargetError, TraceError
from qtrace.measure.effort import Effort
from qtrace.measure.qemu_process import QemuProcess
from qtrace.probes.common import OWNERS
from qtrace.probes.family import Family, Point
from qtrace.probes.shared import Key, Shared
from qtrace.store.run import Tables
from qtrace.store.run_schema import TABLES
from qtrace.trace.bpf.tally import Tally
from qtrace.trace.session.instrument import Tracing
from qtrace.trace.session.level import Level
from qtrace.trace.session.snapshot import Snapshot

__all__ = ["COLUMNS", "FAMILY", "MISS", "SHARED", "IotlbMisses", "instrument", "lines"]

_FUNCTION = "vhost_device_iotlb_miss"
_PROGRAM, _ARGUMENTS = "on_iotlb_miss", 1
# `iotlb_misses`: an array with one element for each owner.
MISS = Key("MISS_INDEX", owner=OWNERS)
SHARED = Shared(keys=(MISS,))
FAMILY = Family(
    name="iotlb_misses",
    summary="addresses that the kernel's vhost has QEMU translate (a virtual IOMMU), at the level full",
    needs=("uprobes",),
    points=(Point(_FUNCTION, (("uprobe", _PROGRAM),), arguments=_ARGUMENTS),),
)
COLUMNS = (TABLES["iotlb_misses"],)


def instrument(process: QemuProcess, effort: Effort) -> IotlbMisses | None:
    """The instrument, at the level full, or if `effort` names it."""
    wanted = effort.level is Level.FULL or FAMILY.name in effort.also
    return IotlbMisses(process) if wanted else None


class IotlbMisses:
    """Counts by owner; only those whose back end has a vhost device have rows."""

    family = FAMILY
    columns = COLUMNS

    def __init__(self, process: QemuProcess) -> None:
        rows = [row for row in process.index.function(_FUNCTION) if row.file and row.line]
        self._file, self._line = (rows[0].file, rows[0].line or 0) if rows else ("", 0)
        self._binary, self._offset, self._reason = Path(), 0, ""
        found = process.placement.locate_in_program(_FUNCTION, self._file)
        if found is None:
            self._reason = f"{_FUNCTION} was not found in this binary"
            return
        self._binary, symbol = found
        self._offset = process.placement.entry(self._binary, symbol, _ARGUMENTS).offset
        process.placement.save()

    def open(self, tracing: Tracing) -> None:
        """Attach, or keep the reason why that is impossible."""
        self._tally = Tally(tracing.module, "iotlb_misses")
        if self._reason:
            return
        try:
            tracing.target.address_of(self._binary, self._offset)
            tracing.attached.uprobe(_PROGRAM, self._binary, self._offset)
        except (TargetError, TraceError) as exc:
            self._reason = str(exc)

    def begin(self) -> None:
        """Begin a window."""
        self._tally.begin()

    def tables(self, snapshot: Snapshot, owners: Collection[int]) -> Tables:
        """Table `iotlb_misses` of these owners in the last window, and `ledger` rows."""
        mine = [owner for owner in snapshot.owners if owner.number in owners and owner.vhost]
        counts = self._tally.read(MISS.pack(owner.number) for owner in mine)
        rows = [
            {
                "netdev_id": owner.netdev,
                "queue": owner.queue,
                "function": _FUNCTION,
                "file": self._file,
                "line": self._line,
                "attached": not self._reason,
                "note": self._reason,
                "count": counts[MISS.pack(owner.number)][0],
            }
            for owner in mine
        ]
        missing = [{"kind": "unattached", "item": "vhost's misses", "count": 1, "note": self._reason}]
        return {"iotlb_misses": rows, "ledger": missing if rows and self._reason else []}

    def conditions(self) -> dict[str, str]:
        """No conditions."""
        return {}

    def close(self) -> None:
        """Nothing to close: the session owns the probe."""


def lines(tables: Tables) -> Iterator[str]:
    """A line for `record`, where there were any."""
    misses = sum(row["count"] for row in tables.get("iotlb_misses", []) if row["attached"])
    if misses:
        yield f"addresses that vhost had QEMU translate: {misses:,}"
