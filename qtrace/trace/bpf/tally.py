"""Sums that programs count by index, as differences from the beginning of a window (struct tally)."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Tally"]


class Tally:
    """One array of the kernel, with `length` sums of calls and bytes for each processor."""

    def __init__(self, module: Any, table: str) -> None:
        self._table = module[table.encode()]
        self._base: dict[int, tuple[int, int]] = {}

    def begin(self) -> None:
        """Start a window."""
        self._base = self._read(range(len(self._table)))

    def read(self, indexes: Iterable[int]) -> Mapping[int, tuple[int, int]]:
        """Index -> (calls, bytes) since `begin`."""
        return {
            index: (calls - self._base[index][0], data - self._base[index][1])
            for index, (calls, data) in self._read(indexes).items()
        }

    def _read(self, indexes: Iterable[int]) -> dict[int, tuple[int, int]]:
        found = {}
        for index in indexes:
            cpus = self._table[ctypes.c_int(index)]
            found[index] = sum(cpu.calls for cpu in cpus), sum(cpu.bytes for cpu in cpus)
        return found
