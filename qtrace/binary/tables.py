"""Static tables of callbacks found again in a stripped binary by layout, constants and NULL pattern.

A table such as `NetClientInfo` lies in .data or .data.rel.ro; where a callback stands, the loader gets a
relative relocation into code; where none stands there is no relocation and a zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from qtrace.binary.elf import Elf

__all__ = ["Shape", "find"]


@dataclass(frozen=True, slots=True)
class Shape:
    """What one table of the source must look like in memory; all keys are offsets in bytes.

    `functions` are the callbacks, `constants` (size, value), `empty` the pointers that are NULL. `sizes`
    are constants too: sizeof of a struct whose name may stand for several in the tree.
    """

    struct: str
    variable: str
    file: str
    size: int
    functions: Mapping[int, str]
    constants: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    sizes: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    empty: tuple[int, ...] = ()

    @property
    def first(self) -> int:
        """The offset of the first callback."""
        return min(self.functions)


def find(elf: Elf, shape: Shape) -> list[int]:
    """The addresses at which the binary has something of this shape, in order.

    Where nothing has the sizes too, they are left out: the source may have several structs of a name.
    """
    return _find(elf, shape, {**shape.constants, **shape.sizes}) or _find(elf, shape, shape.constants)


def _find(elf: Elf, shape: Shape, constants: Mapping[int, tuple[int, int]]) -> list[int]:
    bases = elf.code_pointers - shape.first
    for offset in shape.functions:
        bases = bases[_among(bases + offset, elf.code_pointers)]
    for offset in (*shape.constants, *shape.sizes, *shape.empty):
        bases = bases[~_among(bases + offset, elf.pointer_places)]
    wanted = {**constants, **dict.fromkeys(shape.empty, (8, 0))}
    return [base for base in map(int, bases) if _has(elf, base, wanted)]


def _among(values: npt.NDArray[np.int64], known: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which values are in the sorted array `known`; numpy's own isin is a hundred times slower here."""
    if not len(known):
        return np.zeros(len(values), dtype=bool)
    at = np.minimum(np.searchsorted(known, values), len(known) - 1)
    same: npt.NDArray[np.bool_] = known[at] == values
    return same


def _has(elf: Elf, base: int, wanted: Mapping[int, tuple[int, int]]) -> bool:
    """Whether these little-endian numbers, (size, value) by offset, stand there."""
    for offset, (size, value) in wanted.items():
        data = elf.read(base + offset, size)
        if len(data) != size or int.from_bytes(data, "little") != value:
            return False
    return True
