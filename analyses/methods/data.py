"""The input of an analysis: a run's tables as DataFrames, with the parts of the cell's id as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from qtrace.errors import StoreError

__all__ = ["AGAIN", "CELL", "Data", "cell_parts", "headlines", "merge", "qemu_of", "without_qemu"]

# The parts of a cell's id; `way` is the direction of the payload (`tx`, `rx`) or `both` for a round trip;
# `workload` is followed by the words of the setting, if there are any.
CELL = ["nic", "netdev", "datapath", "way", "workload"]
_QEMU = "qemu-"  # the beginning of a setting's word
AGAIN = "+again"  # at the end of the id of a baseline that is measured a second time


@dataclass(frozen=True)
class Data:
    """The tables of one run (or of several of one venue), by name (docs/run-format.md).

    `baseline` is the (netdev, datapath) with which others are compared. `machines` has the number of the
    machine that measured a block, by the block's id, where there were several.
    """

    tables: Mapping[str, pd.DataFrame]
    venue: str
    baseline: tuple[str, str] = ("tap", "qemu")
    machines: Mapping[str, int] = field(default_factory=dict)
    _made: dict[tuple[str, bool], pd.DataFrame] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def table(self, name: str, *, again: bool = False) -> pd.DataFrame:
        """A copy of a table, with the columns `CELL` from the cell's id in front.

        Without the baselines that were measured a second time (A/A), or with `again` of these alone.
        """
        if (name, again) not in self._made:  # many analyses ask for the same one
            self._made[name, again] = self._make(name, again=again)
        return self._made[name, again].copy()

    def _make(self, name: str, *, again: bool) -> pd.DataFrame:
        frame = self.tables[name]
        ids = frame["cell"].astype(str)
        frame = frame[ids.isin([cell for cell in ids.unique() if cell.endswith(AGAIN) == again])].copy()
        for column in frame.columns:  # a missing name becomes an empty one, so that grouping keeps its rows
            if frame[column].dtype == object or isinstance(frame[column].dtype, pd.StringDtype):
                frame[column] = frame[column].fillna("")
        places, cells = pd.factorize(frame["cell"].astype(str))
        parts = [cell_parts(cell) for cell in cells]
        for position, column in enumerate(CELL):
            names = np.array([part[position] for part in parts], dtype=object)
            frame[column] = pd.Series(names[places], index=frame.index, dtype="object")
        rest = [column for column in frame.columns if column not in CELL]
        return frame[[*CELL, *rest]]

    def metric(self, metric: str, *, probed: bool, again: bool = False) -> pd.DataFrame:
        """The successful measurements of one metric: `CELL`, cell, rep, value."""
        frame = self.table("results", again=again)
        keep = (frame["metric"] == metric) & (frame["status"] == "ok") & (frame["probed"] == probed)
        return frame.loc[keep & frame["value"].notna(), [*CELL, "cell", "rep", "value"]]


def headlines(data: Data) -> list[str]:
    """The metrics by which cells are judged, each once: rates and medians, as far as the run has any."""
    results = data.tables["results"][["metric", "unit"]].drop_duplicates()
    pairs = dict(zip(results["metric"], results["unit"], strict=True))
    return [
        str(name) for name, unit in pairs.items() if unit in ("bit/s", "1/s") or str(name).endswith("_p50")
    ]


def merge(parts: Sequence[Data]) -> Data:
    """Several runs as one. Raises StoreError unless all were taken in one venue."""
    venues = sorted({part.venue for part in parts})
    if len(venues) != 1:
        raise StoreError(
            f"runs of different venues cannot be compared: {', '.join(venues)}",
            hint="compare runs that were all taken in one venue",
        )
    if len({part.baseline for part in parts}) != 1:
        raise StoreError("runs with different baselines cannot be compared")
    names = list(dict.fromkeys(name for part in parts for name in part.tables))
    # Repetition 1 of one run is unrelated to repetition 1 of another: keep them apart.
    shift = 0
    frames: dict[str, list[pd.DataFrame]] = {name: [] for name in names}
    for part in parts:
        highest = 0
        for name in part.tables:
            frame = part.tables[name].copy()
            highest = max([highest, *(int(rep) for rep in frame["rep"])])
            frame["rep"] = frame["rep"] + shift
            frames[name].append(frame)
        shift += highest
    tables = {name: pd.concat(found, ignore_index=True) for name, found in frames.items()}
    return Data(tables, venues[0], parts[0].baseline)


def cell_parts(cell: str) -> list[str]:
    """A workload with its setting is one name (`tcp mtu-9000`): different settings are different traffic."""
    parts = cell.removesuffix(AGAIN).split("+")
    last = len(CELL) - 1
    return [*parts[:last], " ".join(parts[last:])] if len(parts) > last else [cell, "", "", "", ""]


def qemu_of(workload: str) -> str:
    """The name of the QEMU in a workload with its setting, empty where its plan names none."""
    found = (word for word in workload.split()[1:] if word.startswith(_QEMU))
    return next(found, "").removeprefix(_QEMU)


def without_qemu(workload: str) -> str:
    """The workload and its setting but for the QEMU: the same in each."""
    return " ".join(word for word in workload.split() if not word.startswith(_QEMU))
