"""Interrupts of network cards: MSI-X, MSI and the PCI pin (hw/pci/msix.c, msi.c, pci.c)."""

from __future__ import annotations

from enum import IntEnum

from qtrace.probes.common import OWNERS
from qtrace.probes.family import Family, Point
from qtrace.probes.shared import Key, Shared

__all__ = ["FAMILY", "SHARED", "VECTOR", "VECTOR_USE", "Use"]

_TABLE = "interrupt_slots"
_VECTORS = 2048  # the maximum of MSI-X (PCI Local Bus Specification 3.0, 6.8.2)


class _How(IntEnum):
    """The kind of an interrupt; index of `interrupt_slots`."""

    MSIX = 0
    MSI = 1
    PIN = 2
    LINE = 3
    WIRE = 4


class Use(IntEnum):
    """The use of a vector: frames of one direction (its number), of both, or none."""

    SENT = 0
    RECEIVED = 1
    SHARED = 2
    OTHER = 3


# `vectors`: (owner of the card's first queue, vector's number) -> (owner, use).
VECTOR = Key("VECTOR_KEY", owner=OWNERS, vector=_VECTORS)
VECTOR_USE = Key("VECTOR_USE", owner=OWNERS, use=len(Use))
SHARED = Shared(enums={"INTERRUPT": _How, "VECTOR": Use}, keys=(VECTOR, VECTOR_USE))

FAMILY = Family(
    name="interrupts",
    summary="interrupts of network cards: MSI-X by vector, MSI, rising levels of the PCI pin or of a line",
    needs=("uprobes",),
    points=(
        Point(
            "msix_notify",
            (("uprobe", "on_msix_notify"),),
            _TABLE,
            _How.MSIX,
            note="interrupts sent; a vector of both directions counts for the direction of the last frame",
            arguments=2,
        ),
        Point(
            "msi_notify",
            (("uprobe", "on_msi_notify"),),
            _TABLE,
            _How.MSI,
            note="one interrupt serves both directions: it counts for the direction of the last frame",
            arguments=1,
        ),
        Point(
            "pci_set_irq",
            (("uprobe", "on_pci_set_irq"),),
            _TABLE,
            _How.PIN,
            note="rising levels; the pin is shared: each counts for the direction of the last frame",
            arguments=2,
        ),
        Point(
            "pci_irq_handler",
            (("uprobe", "on_pci_irq_handler"),),
            _TABLE,
            _How.LINE,
            note="rising levels of the card's own line; each counts for the direction of the last frame",
            arguments=3,
        ),
        Point(
            "qemu_set_irq",
            (("uprobe", "on_qemu_set_irq"),),
            _TABLE,
            _How.WIRE,
            note="rising levels of the card's own line; each belongs to the direction of the last frame",
            arguments=2,
        ),
    ),
    tables=(_TABLE, "irq_level", "vectors"),
)
