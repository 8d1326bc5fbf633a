"""Bytes that QEMU copies on a frame's way, by function (probes/qemu_copies.bpf.c)."""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qtrace.errors import TargetError, TraceError
from qtrace.model import Direction
from qtrace.probes.common import DIRECTIONS
from qtrace.probes.qemu_copies import COPIES, COPY, MOST_SITES, PROGRAM
from qtrace.trace.bpf.attachments import Attachments
from qtrace.trace.bpf.tally import Tally
from qtrace.trace.qemu.target import Target

__all__ = ["CopyCounter", "CopyPlace"]


@dataclass(frozen=True, slots=True)
class CopyPlace:
    """A function of `COPIES`: where it stands in the source (`line` 0: not indexed), and the byte `offset` of
    the file `binary` where it is probed; `reason` is why it is not, or empty."""

    function: str
    file: str
    line: int
    binary: str = ""
    offset: int = 0
    reason: str = ""


class CopyCounter:
    """Counts calls and bytes of `places` by owner and direction; `space` is where a PCI device's own address
    space lies in it, in bytes."""

    def __init__(
        self, module: Any, attached: Attachments, target: Target, places: Sequence[CopyPlace], space: int
    ) -> None:
        assert len(places) <= MOST_SITES
        self._module, self._attached, self._target = module, attached, target
        self._space = space
        self._tally = Tally(module, "copies")
        self.places = tuple(places)

    def open(self) -> None:
        """Attach; a place where that fails has the reason then."""
        sites, space = self._module[b"copy_sites"], self._module[b"copy_space"]
        sites.clear()
        space[ctypes.c_int(0)] = space.Leaf(self._space)
        self.places = tuple(self._placed(number, place) for number, place in enumerate(self.places))

    def begin(self) -> None:
        """A window begins."""
        self._tally.begin()

    def counts(self, owners: Collection[int]) -> Mapping[tuple[int, Direction, int], tuple[int, int]]:
        """(owner, direction, number of the place) -> (calls, bytes) in this window."""
        keys = {
            COPY.pack(owner, way, number): (owner, direction, number)
            for owner in owners
            for way, direction in enumerate(DIRECTIONS)
            for number in range(len(self.places))
        }
        return {keys[index]: count for index, count in self._tally.read(keys).items()}

    def close(self) -> None:
        """Nothing: the probes are the session's."""

    def _placed(self, number: int, place: CopyPlace) -> CopyPlace:
        if place.reason:
            return place
        sites = self._module[b"copy_sites"]
        try:
            address = self._target.address_of(Path(place.binary), place.offset)
            kind = COPIES[place.function]
            sites[ctypes.c_uint64(address)] = sites.Leaf(kind=kind, number=number)
            self._attached.uprobe(PROGRAM, Path(place.binary), place.offset)
        except (TargetError, TraceError) as exc:
            return replace(place, reason=str(exc))
        return place
