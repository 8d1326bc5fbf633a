"""DMA of network cards in their descriptor rings (softmmu/physmem.c, system/physmem.c, memory_ldst.c.inc)."""

from __future__ import annotations

from enum import IntEnum

from qtrace.model import Role
from qtrace.probes.common import OWNERS
from qtrace.probes.family import Family, Point
from qtrace.probes.shared import Key, Shared

__all__ = ["FAMILY", "RING", "SHARED", "SPACE"]

_TABLE = "dma_slots"
_MOST_RINGS = 32  # descriptor rings of a card
# The offset of a PCI device's own address space, which identifies the device of a DMA access.
SPACE = "PCIDevice.bus_master_as"


class _Access(IntEnum):
    """The function by which a ring is accessed: the first part of the index of `dma_slots`, one for each
    stage."""

    RW = 0
    LOAD16 = 3
    LOAD32 = 4
    LOAD64 = 5
    STORE16 = 6
    STORE32 = 8
    STORE64 = 10


# `dma_rings`: the owner of the card's first queue, and a ring's number.
RING = Key("RING_INDEX", owner=OWNERS, ring=_MOST_RINGS)
SHARED = Shared(constants={"RINGS": _MOST_RINGS}, enums={"DMA": _Access}, keys=(RING,))

_READS, _WRITES = (Role.DEQUEUE,), (Role.COMPLETE, Role.ENQUEUE)
_NOTE = "calls are accesses to descriptors in the card's ring"


def _point(function: str, access: _Access, stages: tuple[Role, ...], arguments: int) -> Point:
    program = f"on_dma_{access.name.lower()}"
    indexes = {stage: access + number for number, stage in enumerate(stages)}
    return Point(function, (("uprobe", program),), _TABLE, note=_NOTE, arguments=arguments, stages=indexes)


FAMILY = Family(
    name="dma",
    summary="DMA of PCI cards in their descriptor rings: frames taken, completed, received",
    needs=("uprobes",),
    points=(
        _point("address_space_rw", _Access.RW, (*_READS, *_WRITES), 6),
        _point("address_space_lduw_le", _Access.LOAD16, _READS, 2),
        _point("address_space_ldl_le", _Access.LOAD32, _READS, 2),
        _point("address_space_ldq_le", _Access.LOAD64, _READS, 2),
        _point("address_space_stw_le", _Access.STORE16, _WRITES, 2),
        _point("address_space_stl_le", _Access.STORE32, _WRITES, 2),
        _point("address_space_stq_le", _Access.STORE64, _WRITES, 2),
    ),
    layout=(SPACE,),
    tables=(_TABLE, "dma_rings"),
    memories=("dma_taken", "dma_delivered"),
)
