"""The pairs of cells whose ratio means something: one thing differs, and one machine measured both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qtrace.analyses.methods.data import CELL, Data

__all__ = ["FIRST_NIC", "PAIR", "Pair", "pairs_of"]

Key = tuple[str, ...]

# The columns of a pair: the cell, and the parts in which the other may differ.
PAIR = (*CELL, "than_nic", "than_netdev", "than_datapath")
_OF_PAIR = ("nic", "netdev", "datapath")
# The NIC with which the others are compared, where a run has it.
FIRST_NIC = "virtio-net-pci"


@dataclass(frozen=True, slots=True)
class Pair:
    """`cell` compared with `than`; both are keys in the order of `CELL`."""

    cell: Key
    than: Key

    @property
    def columns(self) -> dict[str, str]:
        """The columns `PAIR`."""
        other = dict(zip(CELL, self.than, strict=True))
        return dict(zip(CELL, self.cell, strict=True)) | {f"than_{name}": other[name] for name in _OF_PAIR}


def pairs_of(data: Data, cells: Sequence[Key]) -> Iterator[Pair]:
    """Each back end with the baseline's of the same NIC, and virtio-net-pci (or the first NIC by name) with
    each other NIC on the baseline's back end, where one machine measured both."""
    known = set(cells)
    nics = sorted({cell[0] for cell in known}, key=lambda nic: (nic != FIRST_NIC, nic))
    ordered = sorted(known, key=lambda cell: (nics.index(cell[0]), cell))
    for cell in ordered:
        base = _with(cell, *data.baseline)
        if cell != base and base in known:
            yield Pair(cell, base)
    for cell in ordered:
        first = (nics[0], *cell[1:])
        is_base = cell == _with(cell, *data.baseline)
        if is_base and cell[0] != nics[0] and first in known and _one_machine(data, first, cell):
            yield Pair(first, cell)


def _with(cell: Key, netdev: str, datapath: str) -> Key:
    parts = dict(zip(CELL, cell, strict=True)) | {"netdev": netdev, "datapath": datapath}
    return tuple(parts.values())


def _one_machine(data: Data, *cells: Key) -> bool:
    """Whether one machine measured all; of a block that nobody names that is not known."""
    if not data.machines:
        return True
    blocks = [
        # A block's id has its setting behind the workload, as a cell's id has.
        "+".join(part for name, part in zip(CELL, cell, strict=True) if name not in _OF_PAIR[1:]).replace(
            " ", "+"
        )
        for cell in cells
    ]
    return len({data.machines.get(block, block) for block in blocks}) == 1
