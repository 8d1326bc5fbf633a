"""A run's analyses as lists of rows, each computed once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from qtrace.analyses.methods.data import AGAIN, Data
from qtrace.analyses.methods.registry import analyses
from qtrace.errors import StoreError
from qtrace.model import Path, path_from_json
from qtrace.report.document import Section
from qtrace.report.run_tables import RunTables
from qtrace.report.speech import say
from qtrace.store.run import RunReader

__all__ = ["WHOLE", "Answers", "Row", "answered", "as_rows"]

Row = dict[str, Any]
# A run of more cells has its tables read when they are asked for, and its report shows an excerpt.
WHOLE = 200


class Answers:
    """The input of a report; `tables` are the run's, where they are read already or not whole. Raises
    StoreError if the paths in the metadata have an unknown shape."""

    def __init__(self, run: RunReader, tables: Mapping[str, pd.DataFrame] | None = None) -> None:
        self.run = run
        plan = run.meta.get("plan")
        self.plan: dict[str, Any] = plan if isinstance(plan, dict) else {}
        base = self.plan.get("baseline")
        base = base if isinstance(base, dict) else {}
        self.baseline = (str(base.get("netdev", "tap")), str(base.get("datapath", "qemu")))
        tables = RunTables(run) if tables is None else tables
        # What was measured twice (A/A) is one.
        self.is_large = len({cell.removesuffix(AGAIN) for cell in run.cells()}) > WHOLE
        if not self.is_large:  # what is damaged is then known before anything is answered
            dict(tables)
        hosts = run.meta.get("hosts", [])
        machines = {str(block): number for number, host in enumerate(hosts) for block in host["blocks"]}
        self.data = Data(tables, run.meta["venue"], self.baseline, machines if len(hosts) > 1 else {})
        try:
            self.paths: tuple[Path, ...] = tuple(path_from_json(item) for item in run.meta["paths"])
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise StoreError(f"{run.path / 'run.json'}: 'paths' is damaged: {exc!r}") from exc
        self._asked: dict[str, tuple[Row, ...]] = {}

    def ask(self, name: str) -> tuple[Row, ...]:
        """The rows of one analysis; a missing value is None."""
        if name not in self._asked:
            self._asked[name] = self._answer(name)
        return self._asked[name]

    def _answer(self, name: str) -> tuple[Row, ...]:
        return answered(name, self.data)

    def whole(self, name: str) -> tuple[Row, ...]:
        """The rows of one analysis over all cells, also where `ask` has those of an excerpt."""
        return self.ask(name)

    def told(self, name: str) -> tuple[Row, ...]:
        """The rows of which an analysis tells: over all cells where it was made of all."""
        return self.ask(name)

    def excerpted(self) -> Iterable[str]:
        """What is left out, in sentences, and how to have it; nothing of a whole report."""
        return ()

    def cut(self, section: Section, analyses_of_it: Sequence[str]) -> Section:
        """The section as it is shown: of an excerpt, with the reason for what it has not."""
        return section

    def cut_lines(self, lines: Iterable[str]) -> Iterable[str]:
        """The lines as they are shown."""
        return lines

    def failures(self) -> list[Row]:
        """The measurements that failed: cell, rep, probed, reason."""
        frame = pd.concat([self.data.table("results", again=again) for again in (False, True)])
        frame = frame[frame["status"] != "ok"].drop_duplicates(["cell", "rep", "probed"])
        return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]

    @property
    def repetitions(self) -> int:
        """The number of repetitions in the tables."""
        return max(int(frame["rep"].nunique()) for frame in self._frames())

    @property
    def repeated(self) -> str:
        """`3 repetitions`, or `3 to 9 repetitions` where some cells were measured on."""
        results = self.data.table("results")
        counts = results.groupby("cell")["rep"].nunique() if len(results) else pd.Series([self.repetitions])
        least, most = int(counts.min()), int(counts.max())
        if least < most:
            return say("{least} to {most} repetitions", least=least, most=most)
        return say("{number} repetition" if most == 1 else "{number} repetitions", number=most)

    @property
    def cells(self) -> int:
        """The number of cells with any result or failure; what was measured twice (A/A) is one."""
        names = ["results"] if self.is_large else self.data.tables
        return len({cell for name in names for cell in self.data.table(name)["cell"].unique()})

    @property
    def probing(self) -> str:
        """How the measurements were taken: `without and with probes`, or one of the two."""
        kinds = {bool(probed) for frame in self._frames() for probed in frame["probed"].unique()}
        words = {
            (False, True): say("each without and with probes"),
            (True,): say("with probes"),
            (False,): say("without probes"),
        }
        return words.get(tuple(sorted(kinds)), say("without probes"))

    def _frames(self) -> list[pd.DataFrame]:
        """The tables that say what was measured: of a large run its results, which each has."""
        tables = self.data.tables
        return [tables["results"]] if self.is_large else list(tables.values())

    def to_json(self) -> dict[str, Any]:
        """All answers, JSON-ready: the run's head and each question with its rows."""
        keep = (
            "id",
            "status",
            "created",
            "finished",
            "venue",
            "venue_reason",
            "conditions",
            "command",
            "plan",
        )
        head = {key: self.run.meta.get(key) for key in keep}
        answers = {
            name: {"question": item.question, "rows": list(self.ask(name))}
            for name, item in analyses().items()
        }
        return head | {"damaged": list(self.run.damaged), "analyses": answers}


def answered(name: str, data: Data) -> tuple[Row, ...]:
    """The rows of one analysis of `data`, the directions apart."""
    return tuple(sorted(as_rows(analyses()[name](data)), key=_directions_apart))


def as_rows(frame: pd.DataFrame) -> list[Row]:
    """A table's rows as Python's own values, JSON-ready; a missing one is None."""
    records = frame.to_dict("records")
    return [{str(key): _plain(value) for key, value in record.items()} for record in records]


def _directions_apart(row: Row) -> tuple[Any, ...]:
    """Sort key: tx, then rx, then round trips; the analysis's own order within each."""
    order = ("tx", "rx", "both")
    ways = (row.get(key) for key in ("way", "direction"))
    return tuple(order.index(way) if way in order else len(order) for way in ways)


def _plain(value: Any) -> Any:
    """numpy scalars as Python's; NaN and infinity as None, because JSON has neither."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return value
    return value
