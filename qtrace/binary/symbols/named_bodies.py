"""Functions of a stripped library that contain their own name as a string (libslirp's debug calls).

The string is part of the function's own code, so the body that takes its address is the function, or has the
function inlined.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from qtrace.binary.code.scan import Scan
from qtrace.binary.file.elf import Elf
from qtrace.errors import BinaryError

__all__ = ["Body", "bodies_named"]


class Body(NamedTuple):
    """The main part of a function: its virtual address, and the file offsets of its first byte and its
    end."""

    address: int
    first: int
    end: int


def bodies_named(binary: Path, called: str, callers: Sequence[str]) -> tuple[Body, list[Body]]:
    """The body that refers to the string `called`, and for each of `callers` the body that refers to it.

    Raises BinaryError if a string is in no body or in several, or if a caller's body does not call the
    first one: the compiler has then inlined the function elsewhere.
    """
    elf = Elf(binary)
    scan = Scan(elf)
    main = _body(elf, scan, called)
    begins = [_body(elf, scan, name) for name in callers]
    for name, begin in zip(callers, begins, strict=True):
        if begin == main or main not in scan.calls.get(begin, ()):
            raise BinaryError(f"{binary}: the function with {name!r} does not call the one with {called!r}")
    return _place(elf, scan, main), [_place(elf, scan, begin) for begin in begins]


def _body(elf: Elf, scan: Scan, text: str) -> int:
    found = [
        begin
        for begin in scan.starts
        if any(elf.text_at(place) == text for place in scan.refers.get(begin, ()))
    ]
    if len(found) != 1:
        raise BinaryError(f"{elf.path}: {len(found)} functions refer to the string {text!r}, not one")
    return found[0]


def _place(elf: Elf, scan: Scan, begin: int) -> Body:
    """The main part of the function at `begin`: parts that were moved away are rarely executed."""
    first, end = min(scan.parts[begin], key=lambda part: part[0] != begin)
    return Body(first, elf.offset_of(first), elf.offset_of(first) + end - first)
