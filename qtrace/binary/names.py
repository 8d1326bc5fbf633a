"""Which function a place in a binary belongs to: symbols and what was recovered, over the unwind table."""

from __future__ import annotations

import contextlib
from bisect import bisect
from collections.abc import Iterator
from pathlib import Path

from qtrace.binary.bodies import function_ends
from qtrace.binary.elf import Elf
from qtrace.binary.known import KnownSymbols
from qtrace.errors import BinaryError
from qtrace.store.index import Index

__all__ = ["FunctionNames"]


class FunctionNames:
    """The functions of one file by place. With `index`, also those that can be recovered with it (takes
    seconds the first time; known afterwards). Raises BinaryError for a file that is not what it seems."""

    def __init__(self, path: Path, index: Index | None = None) -> None:
        self._elf = Elf(path)
        self._ends = function_ends(self._elf)
        self._starts = sorted(self._ends)
        self._names: dict[int, tuple[str, str]] = {}
        for name, file, address in self._named(path, index):
            self._names.setdefault(address, (name, file))

    def at(self, offset: int) -> tuple[str, str]:
        """(name, file in QEMU's tree) of the function that has the byte at `offset` of the file; the latter
        empty where it is not known, both where the function is not."""
        address = self._address(offset)
        at = bisect(self._starts, address) - 1
        if at < 0 or address >= self._ends[self._starts[at]]:
            return "", ""
        return self._names.get(self._starts[at], ("", ""))

    def _named(self, path: Path, index: Index | None) -> Iterator[tuple[str, str, int]]:
        # A binary of another version than the index keeps its own symbols.
        with contextlib.suppress(BinaryError):
            if index is not None:
                known = KnownSymbols(path, index)
                found = known.everything()
                known.save()
                yield from ((item.name, item.file, item.address) for item in found if item.address)
        yield from ((name, "", address) for name, _, address in self._elf.symtab())
        yield from ((name, "", address) for name, address in self._elf.exports.items())

    def _address(self, offset: int) -> int:
        for part in self._elf.segments:
            if part.offset <= offset < part.offset + part.size:
                return offset - part.offset + part.address
        return -1
