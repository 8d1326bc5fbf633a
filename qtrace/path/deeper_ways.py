"""Ways of a stage whose own function has no address: behind an inline helper, or behind an interrupt line.

`pci_dma_read` is inline (include/hw/pci/pci.h), but the last function that it calls is not. Every device
calls `qemu_set_irq` (hw/core/irq.c), but a PCI card's line was made by `pci_allocate_irq`, with its own
handler.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from qtrace.model import Evidence, Path, Step, Way
from qtrace.path.catalogue import find_nic
from qtrace.store.index import FunctionRow, Index

__all__ = ["deeper_ways", "is_inline"]

_LINE = "qemu_set_irq"
_MAKES_LINES = "qemu_allocate_irq"
_NIC_BUS = "pci_allocate_irq"
_DEEPEST = 8  # calls from one inline helper to the next


def deeper_ways(index: Index, path: Path, ways: Iterable[Way]) -> tuple[Way, ...]:
    """Of the stages that the walk, or another of their `ways`, crosses by an inline helper or by a line.

    Empty where there are none.
    """
    found: dict[tuple[str, str], Way] = {}
    others = (Step(way.function, way.file, way.line, way.stage) for way in ways if not way.usual)
    for step in (*path.stages, *others):
        for deeper in (_behind_inline(index, step), _handlers(index, path, step)):
            for way in deeper:
                found.setdefault((way.stage.value, way.function), way)
    return tuple(found.values())


def is_inline(place: Step | Way) -> bool:
    """Whether its function is in a header, and has no address of its own."""
    return place.file.endswith(".h")


def _behind_inline(index: Index, step: Step) -> Iterator[Way]:
    """The first functions with an address that an inline helper reaches."""
    if not is_inline(step):
        return
    seen: set[int] = set()
    front = [row.id for row in index.function(step.function, step.file)]
    for _ in range(_DEEPEST):
        following: list[int] = []
        for number in front:
            for edge in index.callees(number):
                if edge.callee in seen:
                    continue
                seen.add(edge.callee)
                row = index.function_by_id(edge.callee)
                if row.file.endswith(".h") and row.line:
                    following.append(edge.callee)
                elif _is_access(row):
                    yield _way(step, row, Evidence(edge.file, edge.line, f"{step.function} is inline"))
        front = following


def _is_access(row: FunctionRow) -> bool:
    """Whether a function accesses an address space; the helpers also call barriers and trace points."""
    return row.name.startswith("address_space_")


def _handlers(index: Index, path: Path, step: Step) -> Iterator[Way]:
    """The handler of the line that a PCI card has made."""
    if step.function != _LINE or not _is_pci(index, path):
        return
    for maker in index.function(_NIC_BUS):
        for callee, _, what, value, line in index.given(maker.id):
            if what == "function" and index.function_by_id(callee).name == _MAKES_LINES:
                handler = index.function_by_id(int(value))
                why = Evidence(maker.file, line, f"the handler of {_NIC_BUS}'s lines")
                yield replace(_way(step, handler, why), pointed=True)


def _is_pci(index: Index, path: Path) -> bool:
    """Whether one of the NIC's own files makes a line by `pci_allocate_irq`."""
    calling = {
        index.function_by_id(edge.caller).file
        for row in index.function(_NIC_BUS)
        for edge in index.callers(row.id)
    }
    return not calling.isdisjoint(find_nic(index, path.nic).files)


def _way(step: Step, row: FunctionRow, evidence: Evidence) -> Way:
    assert step.stage is not None
    return Way(step.stage, row.name, row.file, row.line, "", (evidence,))
