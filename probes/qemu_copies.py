"""QEMU's functions that copy a frame's bytes (util/iov.c, net/queue.c, the physical memory's DMA).

Not among them is what has no function of its own: memcpy, and iov_to_buf where its size is a constant
(include/qemu/iov.h), which is how headers are copied.
"""

from __future__ import annotations

from qtrace.probes.family import Family, Point

__all__ = ["COPIES", "FAMILY", "KINDS", "MOST_SITES", "PROGRAM", "SPACE"]

# Kept equal to the enum and to COPY_SITES in qemu_copies.bpf.c.
KINDS = {"dma": 0, "vector": 1, "queued": 2, "queued vector": 3}
MOST_SITES = 8
PROGRAM = "on_copy"
# Where a PCI device's own address space is: it tells whose the DMA is.
SPACE = "PCIDevice.bus_master_as"
_ARGUMENTS = 5

# Function -> what it is given. iov_copy copies vectors, no bytes. All DMA of PCI devices with a buffer goes
# by address_space_rw (include/sysemu/dma.h), which may or may not call its two parts: these are not counted.
COPIES = {
    "address_space_rw": "dma",
    "iov_to_buf_full": "vector",
    "iov_from_buf_full": "vector",
    "qemu_net_queue_append": "queued",
    "qemu_net_queue_append_iov": "queued vector",
}

FAMILY = Family(
    name="qemu_copies",
    summary="entry of QEMU's functions that copy bytes: calls and bytes of frames, at the level full",
    needs=("uprobes",),
    points=tuple(Point(function, (("uprobe", PROGRAM),), arguments=_ARGUMENTS) for function in COPIES),
    layout=(SPACE, "NetClientState.info", "NetClientInfo.type"),
    apart=True,
)
