"""Functions of a stripped library that name themselves in a string: libslirp's can say that they are called.

The string is part of the function's own code, so the body that takes its address is the function, or has it
inlined.
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
    """A function's main part: its virtual address, and its first byte and end in the file."""

    address: int
    first: int
    end: int


def bodies_named(binary: Path, called: str, callers: Sequence[str]) -> tuple[Body, list[Body]]:
    """The body that refers to the string `called`, and those that refer to each of `callers` and call it.

    Raises BinaryError where a string is in no body or in several, or where the calls are not there: the
    compiler has put the function elsewhere.
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
    """Of its main part: what is moved away is rarely executed."""
    first, end = min(scan.parts[begin], key=lambda part: part[0] != begin)
    return Body(first, elf.offset_of(first), elf.offset_of(first) + end - first)
