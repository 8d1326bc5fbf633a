"""What is worked out once, before the first guest starts: the paths of a plan's cells.

It can be written down and read again, because in the lab machine walking takes twenty times as long.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from qtrace.errors import CellError, StoreError
from qtrace.model import Cell, Path, path_from_json
from qtrace.path.both_ways import both_ways
from qtrace.store.index import Index

__all__ = ["Brief", "make_brief"]

# (NIC, netdev, datapath)
Way = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Brief:
    """`reason` is why the venue is what it is, `command` what was typed, `index` the source index's file,
    `machine` what the lab machine is where the run happens in one.
    `ways` has for each (NIC, netdev, datapath) the path of either direction, or why there is none."""

    reason: str
    command: tuple[str, ...]
    index: FilePath
    machine: str = ""
    ways: dict[Way, list[Path] | str] = field(default_factory=dict)

    def paths_of(self, cell: Cell) -> list[Path]:
        """The paths that a cell's frames take, tx and rx: acknowledgements use the other one.

        Raises CellError where the source has no such path.
        """
        found = self.ways[cell.nic, cell.netdev, cell.datapath]
        if isinstance(found, str):
            raise CellError(found)
        return found

    def other_datapath(self, cell: Cell) -> list[Path]:
        """The paths that must not carry the cell's frames: the other half of the proof that vhost does,
        or does not. Empty where vhost cannot be."""
        found = self.ways.get((cell.nic, cell.netdev, _other(cell.datapath)), [])
        return [] if isinstance(found, str) else found

    def paths(self, cells: Iterable[Cell]) -> list[Path]:
        """Every path of these cells, once."""
        keys = dict.fromkeys((cell.nic, cell.netdev, cell.datapath) for cell in cells)
        return [path for key in keys for path in self.ways[key] if isinstance(path, Path)]

    def save(self, file: FilePath) -> None:
        """Write it down as JSON."""
        ways = [
            [*key, found if isinstance(found, str) else [path.to_json() for path in found]]
            for key, found in self.ways.items()
        ]
        head = {
            "reason": self.reason,
            "command": self.command,
            "index": str(self.index),
            "machine": self.machine,
        }
        file.write_text(json.dumps({**head, "ways": ways}))

    @classmethod
    def load(cls, file: FilePath) -> Brief:
        """Read what `save` wrote. Raises StoreError."""
        try:
            data: Any = json.loads(file.read_text())
            ways: dict[Way, list[Path] | str] = {}
            for nic, netdev, datapath, found in data["ways"]:
                ways[nic, netdev, datapath] = (
                    found if isinstance(found, str) else [path_from_json(item) for item in found]
                )
            return cls(data["reason"], tuple(data["command"]), FilePath(data["index"]), data["machine"], ways)
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise StoreError(f"{file} is not a brief: {exc}") from exc


def make_brief(cells: Sequence[Cell], index: Index, reason: str, command: Sequence[str]) -> Brief:
    """Walk every cell's path, and that of the other datapath where vhost can be."""
    ways: dict[Way, list[Path] | str] = {}
    for cell in cells:
        wanted = [cell.datapath]
        if cell.netdev == "tap" and cell.nic.startswith("virtio-"):
            wanted.append(_other(cell.datapath))
        for datapath in wanted:
            if (key := (cell.nic, cell.netdev, datapath)) not in ways:
                ways[key] = _walk(index, key)
    return Brief(reason, tuple(command), index.path, ways=ways)


def _walk(index: Index, key: Way) -> list[Path] | str:
    try:
        return [*both_ways(index, *key)]
    except CellError as exc:
        return str(exc)


def _other(datapath: str) -> str:
    return "qemu" if datapath == "vhost-net" else "vhost-net"
