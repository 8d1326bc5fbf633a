"""Messages of the compiler and the verifier: written to a file, not shown."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

from qtrace.cache import atomic_file, cache_dir
from qtrace.errors import MissingPrerequisite

__all__ = ["caught", "kept_as"]

_STDERR = 2


@contextlib.contextmanager
def caught() -> Iterator[BinaryIO]:
    """Redirect the standard error of C code, from all threads, to this file while the block lasts."""
    with tempfile.TemporaryFile() as file:
        try:
            before = os.dup(_STDERR)
        except OSError:  # there is no standard error
            yield file
            return
        try:
            os.dup2(file.fileno(), _STDERR)
            yield file
        finally:
            os.dup2(before, _STDERR)
            os.close(before)


def kept_as(name: str, text: str) -> str:
    """Write the text to the cache; returns `; FILE has all that it says`, or empty if it cannot be
    written."""
    try:
        file = cache_dir("messages") / f"{name}.txt"
        with atomic_file(file) as beside:
            beside.write_text(text)
    except (MissingPrerequisite, OSError):
        return ""
    return f"; {file} has all that it says"
