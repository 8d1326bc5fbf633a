"""Which function a place in a binary belongs to: symbols and what was recovered, over the unwind table."""

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
    """The functions of one file by place. With `index`, also those that can be recovered with it (takes
    seconds the first time; known afterwards). `defined`: function of external linkage -> the C files of the
    tree that define it; `helpers`: those that TCG's code may call. Raises BinaryError for a file that is not
    what it seems."""

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

    def at(self, offset: int) -> tuple[str, str]:
        """(name, file in QEMU's tree) of the function that has the byte at `offset` of the file; the latter
        empty where it is not known, both where the function is not."""
        start = self._start(offset)
        name, file = self._names.get(start, ("", ""))
        return name, file or (self._neighbours.file(start) if name else "")

    def around(self, offset: int) -> tuple[str, str]:
        """(where it lies, file in QEMU's tree or empty) of the function at `offset` that has no name; both
        empty where no function is known to be. See `qtrace.binary.symbols.neighbours`."""
        start = self._start(offset)
        return (self._neighbours.describe(start), self._neighbours.file(start)) if start >= 0 else ("", "")

    def _start(self, offset: int) -> int:
        """Where the function begins, -1 for none."""
        address = self._address(offset)
        at = bisect(self._starts, address) - 1
        return self._starts[at] if at >= 0 and address < self._ends[self._starts[at]] else -1

    @functools.cached_property
    def _neighbours(self) -> Neighbours:
        return Neighbours(self._elf, self._starts, self._names)

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
