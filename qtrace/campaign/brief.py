"""The preparation of a campaign before the first guest starts: the paths of the plan's cells in each QEMU.

It can be saved and loaded, because a walk in the lab machine takes twenty times as long.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Any

from qtrace.campaign.plan import LeftOut
from qtrace.campaign.plan_qemus import PlanQemu
from qtrace.errors import CellError, StoreError
from qtrace.model import VHOST_USER, Cell, Path, path_from_json
from qtrace.path.both_ways import both_ways
from qtrace.store.index import Index

__all__ = ["Brief", "make_brief"]

# (NIC, netdev, datapath, QEMU)
Way = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Brief:
    """`reason` tells why the venue was chosen, `command` is the command line, `indexes` has the file of the
    source index of each QEMU of the plan, `machine` describes the lab machine if the run happens in one.
    `ways` has for each (NIC, netdev, datapath, QEMU) the path of each direction, or the reason why it has
    none. `qemus` are the programs, but for the installed one; `left_out` the cells that cannot be with
    them."""

    reason: str
    command: tuple[str, ...]
    indexes: dict[str, FilePath]
    machine: str = ""
    ways: dict[Way, list[Path] | str] = field(default_factory=dict)
    qemus: dict[str, PlanQemu] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()

    def paths_of(self, cell: Cell) -> list[Path]:
        """The paths of the cell's frames, tx and rx: acknowledgements take the other direction.

        Raises CellError if the source has no such path.
        """
        found = self.ways[_key(cell, cell.datapath)]
        if isinstance(found, str):
            raise CellError(found)
        return found

    def other_datapath(self, cell: Cell) -> list[Path]:
        """The paths of the other datapath, which must not carry the cell's frames: this proves that vhost is,
        or is not, in use. Empty if vhost is impossible. QEMU has none of its own on vhost-user; those on a
        tap stand for it."""
        found = self.ways.get(_key(cell, _other(cell.datapath)), [])
        return [] if isinstance(found, str) else found

    def paths(self, cells: Iterable[Cell]) -> list[Path]:
        """The paths of these cells, each once."""
        keys = dict.fromkeys(_key(cell, cell.datapath) for cell in cells)
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
            "indexes": {name: str(file) for name, file in self.indexes.items()},
            "machine": self.machine,
            "qemus": {name: qemu.to_json() for name, qemu in self.qemus.items()},
            "left_out": [[one.cell, one.reason] for one in self.left_out],
        }
        file.write_text(json.dumps({**head, "ways": ways}))

    @classmethod
    def load(cls, file: FilePath) -> Brief:
        """Read a file that `save` wrote. Raises StoreError."""
        try:
            data: Any = json.loads(file.read_text())
            ways: dict[Way, list[Path] | str] = {}
            for *key, found in data["ways"]:
                nic, netdev, datapath, qemu = key
                ways[nic, netdev, datapath, qemu] = (
                    found if isinstance(found, str) else [path_from_json(item) for item in found]
                )
            return cls(
                data["reason"],
                tuple(data["command"]),
                {name: FilePath(file) for name, file in data["indexes"].items()},
                data["machine"],
                ways,
                {name: PlanQemu.of_json(item) for name, item in data["qemus"].items()},
                tuple(LeftOut(*one) for one in data["left_out"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise StoreError(f"{file} is not a brief: {exc}") from exc


def make_brief(
    cells: Sequence[Cell], indexes: Mapping[str, Index], reason: str, command: Sequence[str]
) -> Brief:
    """Walk every cell's path, and the path of the other datapath where vhost is possible, in the index of its
    QEMU (`indexes`: its name in the plan, empty for the installed one)."""
    ways: dict[Way, list[Path] | str] = {}
    for cell in cells:
        wanted = [cell.datapath]
        if cell.kind in ("tap", VHOST_USER) and cell.nic.startswith("virtio-"):
            wanted.append(_other(cell.datapath))
        for datapath in wanted:
            if (key := _key(cell, datapath)) not in ways:
                ways[key] = _walk(indexes[cell.setting.qemu], key)
    files = {name: index.path for name, index in indexes.items()}
    return Brief(reason, tuple(command), files, ways=ways)


def _walk(index: Index, key: Way) -> list[Path] | str:
    """The paths carry the back end's own name; the source knows its kind."""
    nic, netdev, datapath, qemu = key
    if datapath == VHOST_USER:
        return []  # QEMU has nothing of it
    kind = "tap" if netdev == VHOST_USER else netdev.partition(".")[0]
    try:
        found = both_ways(index, nic, kind, datapath)
        return [replace(path, netdev=netdev, qemu=qemu) for path in found]
    except CellError as exc:
        return str(exc)


def _key(cell: Cell, datapath: str) -> Way:
    return cell.nic, cell.netdev, datapath, cell.setting.qemu


def _other(datapath: str) -> str:
    return "vhost-net" if datapath == "qemu" else "qemu"
