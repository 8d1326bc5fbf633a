"""The QEMU that a machine runs in: the installed one, or the next Debian's in a root of its own."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from contained import PROGRAM, make_root
from machines import INSTALLED

from qtrace.lab.guest.guest import find_qemu

__all__ = ["open_program"]


@contextlib.contextmanager
def open_program(qemu: str) -> Iterator[Path]:
    """The program to call. Raises MissingPrerequisite."""
    if qemu == INSTALLED:
        yield find_qemu()
        return
    with tempfile.TemporaryDirectory(prefix="qtrace-contained-") as folder:
        yield make_root(Path(folder)) / PROGRAM
