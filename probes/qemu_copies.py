"""QEMU's functions that copy a frame's bytes (util/iov.c, net/queue.c, the physical memory's DMA).

Not among them is what has no function of its own: memcpy, and iov_to_buf where its size is a constant
(include/qemu/iov.h), which is how headers are copied.
"""

from __future__ import annotations

from enum import IntEnum

from qtrace.probes.common import DIRECTIONS, OWNERS
from qtrace.probes.family import Family, Point
from qtrace.probes.shared import Key, Shared

__all__ = ["COPIES", "COPY", "FAMILY", "MOST_SITES", "PROGRAM", "SHARED", "SPACE", "Copying"]

MOST_SITES = 8
# `copies`: an array with one place for each function, direction and owner.
COPY = Key("COPY_INDEX", owner=OWNERS, direction=len(DIRECTIONS), number=MOST_SITES)
PROGRAM = "on_copy"
# Where a PCI device's own address space is: it tells whose the DMA is.
SPACE = "PCIDevice.bus_master_as"
_ARGUMENTS = 5


class Copying(IntEnum):
    """What a copying function is given."""

    DMA = 0
    VECTOR = 1
    QUEUED = 2
    QUEUED_VECTOR = 3


SHARED = Shared(enums={"COPY": Copying}, keys=(COPY,))
# Function -> what it is given. iov_copy copies vectors, no bytes. All DMA of PCI devices with a buffer goes
# by address_space_rw (include/sysemu/dma.h), which may or may not call its two parts: these are not counted.
COPIES = {
    "address_space_rw": Copying.DMA,
    "iov_to_buf_full": Copying.VECTOR,
    "iov_from_buf_full": Copying.VECTOR,
    "qemu_net_queue_append": Copying.QUEUED,
    "qemu_net_queue_append_iov": Copying.QUEUED_VECTOR,
}

FAMILY = Family(
    name="qemu_copies",
    summary="entry of QEMU's functions that copy bytes: calls and bytes of frames, at the level full",
    needs=("uprobes",),
    points=tuple(Point(function, (("uprobe", PROGRAM),), arguments=_ARGUMENTS) for function in COPIES),
    layout=(SPACE, "NetClientState.info", "NetClientInfo.type"),
    apart=True,
)
