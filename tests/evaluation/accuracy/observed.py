"""The observed calls on disk, names only: what recall.py saw, for whoever is held against it.

`observed.json`: `qemu`, `probed` (functions), `runs`: NIC on netdev -> [caller, its file, callee, its file,
calls] each; `outside`: NIC on netdev -> calls that came from elsewhere; `host`: as `runs`, calls to functions
of libraries by which a frame leaves and enters, whose file is empty.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from observe import Call, Seen

__all__ = ["OBSERVED", "Observed"]

OBSERVED = Path(__file__).parents[3] / "build" / "observed.json"


@dataclass(frozen=True)
class Observed:
    """One campaign of recall.py. `qemu` is the version of the program that was observed."""

    qemu: str
    probed: int
    runs: Mapping[str, Seen]

    def calls(self) -> Counter[Call]:
        """All runs' calls together."""
        total: Counter[Call] = Counter()
        for found in self.runs.values():
            total.update(found.calls)
        return total

    def save(self, path: Path = OBSERVED) -> None:
        rows = {name: _rows(found.calls) for name, found in self.runs.items()}
        host = {name: _rows(found.host) for name, found in self.runs.items()}
        path.parent.mkdir(exist_ok=True)
        outside = {name: found.outside for name, found in self.runs.items()}
        head = {"qemu": self.qemu, "probed": self.probed, "outside": outside}
        path.write_text(json.dumps({**head, "host": host, "runs": rows}, indent=0))

    @classmethod
    def load(cls, path: Path = OBSERVED) -> Observed:
        data = json.loads(path.read_text())
        runs = {
            name: Seen(_calls(rows), data["outside"][name], _calls(data["host"][name]))
            for name, rows in data["runs"].items()
        }
        return cls(data["qemu"], data["probed"], runs)


def _rows(calls: Mapping[Call, int]) -> list[list[str | int]]:
    return [[*caller, *callee, count] for (caller, callee), count in sorted(calls.items())]


def _calls(rows: Iterable[Sequence[Any]]) -> dict[Call, int]:
    return {((row[0], row[1]), (row[2], row[3])): row[4] for row in rows}
