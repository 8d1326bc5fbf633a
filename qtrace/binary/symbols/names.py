"""The function that contains a given byte of a binary: from symbols, recovery and the unwind table."""

from __future__ import annotations

import contextlib
import functools
from bisect import bisect
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from qtrace.binary.code.bodies import function_ends
from qtrace.binary.file.elf import Elf
from qtrace.binary.symbols.neighbours import Neighbours, files_of_exports
from qtrace.binary.symbols.symbol_cache import KnownSymbols
from qtrace.binary.symbols.tcg_helpers import tcg_helpers
from qtrace.errors import BinaryError
from qtrace.store.index import Index

__all__ = ["FunctionNames"]


class FunctionNames:
    """The functions of one file by offset. With `index`, also functions that can be recovered with it (takes
    seconds the first time; cached afterwards). `defined`: function of external linkage -> the C files of the
    tree that define it; `helpers`: the functions that TCG's generated code may call. Raises BinaryError for a
    file that is not valid."""

    def __init__(
        self,
        path: Path,
        index: Index | None = None,
        defined: Mapping[str, Collection[str]] | None = None,
        helpers: Collection[str] = (),
    ) -> None:
        self._elf = Elf(path)
        self._ends = function_ends(self._elf)
        self._starts = sorted(self._ends)
        self._names: dict[int, tuple[str, str]] = {}
        files = files_of_exports(self._elf.exports, defined or {})
        for name, file, address in self._named(path, index):
            self._names.setdefault(address, (name, file or files.get(name, "")))
        for address, name in tcg_helpers(self._elf, self._ends, helpers).items():
            self._names.setdefault(address, (name, ""))

    def prepare(self) -> None:
        """Read what `at` and `around` need besides, which takes a second, before they are asked."""
        _ = self._neighbours

    def at(self, offset: int) -> tuple[str, str]:
        """(name, file in QEMU's tree) of the function that contains the byte at `offset` of the file; the
        file is empty where it is unknown, both are empty where the function is unknown."""
        start = self._start(offset)
        name, file = self._names.get(start, ("", ""))
        return name, file or (self._neighbours.file(start) if name else "")

    def around(self, offset: int) -> tuple[str, str]:
        """(position between named functions, file in QEMU's tree or empty) of the nameless function at
        `offset`; both are empty if no function is known there. See `qtrace.binary.symbols.neighbours`."""
        start = self._start(offset)
        return (self._neighbours.describe(start), self._neighbours.file(start)) if start >= 0 else ("", "")

    def _start(self, offset: int) -> int:
        """The start of the function that contains the offset, -1 for none."""
        address = self._address(offset)
        at = bisect(self._starts, address) - 1
        return self._starts[at] if at >= 0 and address < self._ends[self._starts[at]] else -1

    @functools.cached_property
    def _neighbours(self) -> Neighbours:
        return Neighbours(self._elf, self._starts, self._names)

    def _named(self, path: Path, index: Index | None) -> Iterator[tuple[str, str, int]]:
        # If the index is of another version, only the binary's own symbols count.
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
