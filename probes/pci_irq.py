"""The interrupt pin of a PCI card: pci_set_irq (hw/pci/pci.c), counted where the level rises."""

from __future__ import annotations

from qtrace.probes.family import Family, Point

__all__ = ["FAMILY"]

FAMILY = Family(
    name="pci_irq",
    summary="rising interrupt lines of PCI devices, by the direction of the frame before",
    needs=("uprobes",),
    points=(
        Point(
            "pci_set_irq",
            (("uprobe", "on_pci_set_irq"),),
            "pci_irq_slots",
            note="rising levels; the pin is shared: each belongs to the direction of the last frame",
            arguments=2,
        ),
    ),
    tables=("pci_irq_slots", "irq_level"),
)
