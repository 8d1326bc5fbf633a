"""Static tables of the source, found in a binary by layout, constants, strings and NULL pattern.

A table lies in .data or .data.rel.ro. A pointer has a relocation of the loader; a NULL pointer has none and
is zero. A field without an initialiser is zero.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from qtrace.binary.file.elf import Elf
from qtrace.binary.recovery.wanted import unescaped

__all__ = ["Finder", "Picture", "pictures"]

_LARGEST = 1 << 20
_MANY = 6  # functions that are enough to identify a table without other data
_FEW = 2  # functions of a table that its numbers tell apart
_MOST = 3000  # addresses of one table that are compared in full
_SHORTEST = 4  # characters of a string that identifies a table


@dataclass(slots=True)
class Picture:
    """The expected content of a table; all keys are offsets in bytes. `functions` are ids of the index,
    `numbers` (size, value), `unknown` pairs (offset, size) of fields with unknown content."""

    variable: str
    file: str
    size: int = 0
    functions: dict[int, int] = field(default_factory=dict)
    variables: dict[int, str] = field(default_factory=dict)
    strings: dict[int, str] = field(default_factory=dict)
    numbers: dict[int, tuple[int, int]] = field(default_factory=dict)
    unknown: list[tuple[int, int]] = field(default_factory=list)
    pointers: set[int] = field(default_factory=set)  # offsets that must hold a pointer

    @property
    def telling(self) -> bool:
        """Whether its strings, or very many functions, make an identical second table unlikely."""
        texts = any(len(text) >= _SHORTEST for text in self.strings.values())
        return texts or len(self.functions) >= _MANY

    @property
    def numbered(self) -> bool:
        """Whether it has functions, and numbers that are not zero beside them, as a NetClientInfo's type."""
        return len(self.functions) >= _FEW and any(value for _, value in self.numbers.values())

    def loosened(self) -> Picture:
        """The same picture with any number in place of each long one: a struct's size may depend on the
        build."""
        sizes = [(at, size) for at, (size, _) in self.numbers.items() if size == 8]
        return replace(
            self,
            numbers={at: number for at, number in self.numbers.items() if number[0] != 8},
            unknown=[*self.unknown, *sizes],
        )

    def empty(self) -> list[int]:
        """Offsets without a pointer, for a table small enough to check each of them."""
        loose = (
            {at // 8 for at, size in self.unknown for at in range(at, at + size)}
            if self.size < 4096
            else set()
        )
        places = range(0, min(self.size, 256), 8)
        return [at for at in places if at not in self.pointers and at // 8 not in loose]


def pictures(cells: Iterable[tuple[str, str, int, int, str, str]]) -> dict[tuple[str, str], Picture]:
    """(variable, file) -> its picture, for every table with a pointer in it."""
    found: dict[tuple[str, str], Picture] = {}
    for variable, file, offset, size, what, value in cells:
        picture = found.setdefault((variable, file), Picture(variable, file))
        if what == "whole":
            picture.size = size
        elif what == "function" and value.isdigit():
            picture.functions[offset] = int(value)
        elif what == "variable":
            picture.variables[offset] = value
        elif what == "string":
            picture.strings[offset] = unescaped(value)
        elif what == "number":
            picture.numbers[offset] = size, int(value)
        else:
            picture.unknown.append((offset, size))
    for item in found.values():
        item.pointers = item.functions.keys() | item.variables.keys() | item.strings.keys()
    return {key: item for key, item in found.items() if item.pointers and 0 < item.size <= _LARGEST}


class Finder:
    """Searches one binary for pictures."""

    def __init__(self, elf: Elf, starts: Mapping[int, object]) -> None:
        self._elf = elf
        self._starts = starts
        self._places: list[int] = elf.pointer_places.tolist()
        self._by_text: dict[str, list[int]] = defaultdict(list)
        self._by_target: dict[int, list[int]] = defaultdict(list)
        for place in self._places:
            target = elf.pointers[place]
            self._by_target[target].append(place)
            if target not in starts and (text := elf.text_at(target)):
                self._by_text[text].append(place)

    def find(self, picture: Picture, known: Mapping[int, int]) -> list[int]:
        """The addresses that match the picture, in order; `known` maps offset -> target of a pointer."""
        found = [base for base in self._bases(picture, known) if self.fits(picture, base, known)]
        if not found and any(size == 8 for size, _ in picture.numbers.values()):
            return self.find(picture.loosened(), known)
        return found

    def fits(self, picture: Picture, base: int, known: Mapping[int, int]) -> bool:
        """Whether the bytes at `base` match the picture."""
        elf, end = self._elf, base + picture.size
        for offset, text in picture.strings.items():
            target = elf.pointers.get(base + offset)
            if target is None or elf.text_at(target) != text:
                return False
        same: dict[int, int] = {}
        for offset, function in picture.functions.items():
            target = elf.pointers.get(base + offset)
            if target is None or (target and target not in self._starts):
                return False
            if same.setdefault(function, target) != target:
                return False
        for offset in picture.variables:
            target = elf.pointers.get(base + offset)
            if target is None or target in self._starts:
                return False
        if any(elf.pointers.get(base + offset) != target for offset, target in known.items()):
            return False
        loose = picture.unknown
        pointers = picture.pointers
        first = bisect_left(self._places, base)
        for place in self._places[first : bisect_left(self._places, end, first)]:
            offset = place - base
            if offset not in pointers and not any(at <= offset < at + size for at, size in loose):
                return False
        data = bytearray(elf.read(base, picture.size))
        if len(data) != picture.size:
            return False
        for offset, (size, value) in picture.numbers.items():
            if int.from_bytes(data[offset : offset + size], "little") != value:
                return False
            data[offset : offset + size] = bytes(size)
        for offset, size in [*loose, *((offset, 8) for offset in pointers)]:
            data[offset : offset + size] = bytes(size)
        return not any(data)

    def _bases(self, picture: Picture, known: Mapping[int, int]) -> list[int]:
        choices = [
            [place - offset for place in self._by_text.get(text, ())]
            for offset, text in picture.strings.items()
        ]
        choices += [
            [place - offset for place in self._by_target.get(target, ())] for offset, target in known.items()
        ]
        if choices:
            choices.sort(key=len)
            found = sorted(set(choices[0]))
            if len(found) < _MOST:
                return found
        if not picture.functions:
            return []
        first = min(picture.functions)
        bases = self._elf.code_pointers - first
        for offset in picture.functions:
            bases = bases[_among(bases + offset, self._elf.code_pointers)]
        for offset in picture.variables:
            bases = bases[_among(bases + offset, self._elf.pointer_places)]
        for offset in picture.empty():
            bases = bases[~_among(bases + offset, self._elf.pointer_places)]
        return [int(base) for base in bases] if len(bases) < _MOST else []


def _among(values: npt.NDArray[np.int64], known: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which values are in the sorted array `known`; numpy's own isin is a hundred times slower here."""
    if not len(known):
        return np.zeros(len(values), dtype=bool)
    at = np.minimum(np.searchsorted(known, values), len(known) - 1)
    same: npt.NDArray[np.bool_] = known[at] == values
    return same
