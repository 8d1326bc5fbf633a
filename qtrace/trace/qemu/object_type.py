"""Of which type an object of QEMU's is: QOM keeps it with the object (qom/object.c)."""

from __future__ import annotations

from collections.abc import Mapping

from qtrace.errors import TargetError
from qtrace.trace.qemu.memory import Memory

__all__ = ["type_name"]


def type_name(memory: Memory, item: int, layout: Mapping[str, int]) -> str:
    """`filter-dump`, `virtio-net-pci`; empty where it cannot be told.

    A type begins with the pointer to its name; the struct is private to QOM, so the name is checked.
    """
    try:
        kind = memory.word(memory.word(item + layout["Object.class"]) + layout["ObjectClass.type"])
        name = memory.text(memory.word(kind))
    except (KeyError, TargetError):
        return ""
    return name if name.isascii() and name.isprintable() else ""
