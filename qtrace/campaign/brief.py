"""The preparation of a campaign before the first guest starts: the paths of the plan's cells.

It can be saved and loaded, because a walk in the lab machine takes twenty times as long.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
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
    """`reason` tells why the venue was chosen, `command` is the command line, `index` the source index's
    file, `machine` describes the lab machine if the run happens in one. `ways` has for each (NIC, netdev,
    datapath) the path of each direction, or the reason why it has none."""

    reason: str
    command: tuple[str, ...]
    index: FilePath
    machine: str = ""
    ways: dict[Way, list[Path] | str] = field(default_factory=dict)

    def paths_of(self, cell: Cell) -> list[Path]:
        """The paths of the cell's frames, tx and rx: acknowledgements take the other direction.

        Raises CellError if the source has no such path.
        """
        found = self.ways[cell.nic, cell.netdev, cell.datapath]
        if isinstance(found, str):
            raise CellError(found)
        return found

    def other_datapath(self, cell: Cell) -> list[Path]:
        """The paths of the other datapath, which must not carry the cell's frames: this proves that vhost is,
        or is not, in use. Empty if vhost is impossible."""
        found = self.ways.get((cell.nic, cell.netdev, _other(cell.datapath)), [])
        return [] if isinstance(found, str) else found

    def paths(self, cells: Iterable[Cell]) -> list[Path]:
        """The paths of these cells, each once."""
        keys = dict.fromkeys((cell.nic, cell.netdev, cell.datapath) for cell in cells)
        return [path for key in keys for path in self.ways.get(key, ()) if isinstance(path, Path)]

    def save(self, file: FilePath) -> None:
        """Write the brief to a JSON file."""
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
        """Read a file that `save` wrote. Raises StoreError."""
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
    """Walk every cell's path, and the path of the other datapath where vhost is possible."""
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
    """The paths carry the back end's own name; the source knows its kind."""
    nic, netdev, datapath = key
    try:
        found = both_ways(index, nic, netdev.partition(".")[0], datapath)
        return [replace(path, netdev=netdev) for path in found]
    except CellError as exc:
        return str(exc)


def _other(datapath: str) -> str:
    return "qemu" if datapath == "vhost-net" else "vhost-net"
