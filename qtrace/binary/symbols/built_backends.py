"""Which back ends a QEMU program was built with: by the functions that it exports, without running it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qtrace.binary.file.elf import Elf

__all__ = ["backends_left_out"]

_LEAST = 3  # init functions that a program exports at least, if it exports any function for its modules


def backends_left_out(path: Path, inits: Mapping[str, str]) -> frozenset[str] | None:
    """The back ends that the program lacks. `inits`: back end -> its init function (`net_client_init_fun` of
    net/net.c), which has external linkage: QEMU exports such functions to its modules, so one that is not
    exported was not compiled. None for a program that exports too few to tell. Raises BinaryError."""
    exported = Elf(path).exports
    left_out = frozenset(name for name, function in inits.items() if function not in exported)
    return left_out if len(inits) - len(left_out) >= _LEAST else None
