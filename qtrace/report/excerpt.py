"""The answers of a run with more cells than a page can show: all are counted, the most telling are shown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from qtrace.analyses.methods.data import CELL, Data, cell_parts, headlines, qemu_of
from qtrace.report.answers import Answers, Row, answered
from qtrace.report.document import Section, Table
from qtrace.report.run_tables import RunTables
from qtrace.report.speech import say
from qtrace.report.text import present

__all__ = ["CRITERIA", "MORE", "OVER_ALL", "SHOWN", "Excerpt", "telling"]

# How many cells a page shows, at most; the next number where the page would be too large.
SHOWN = (32, 16, 8)
MORE = (128, 64)  # tried before, of a run that is not large: its cells may have few tables
# The analyses that are made of all cells: the others read only the tables of the cells that are shown.
OVER_ALL = frozenset({"throughput", "latency", "workload_metrics", "baseline_twice", "steadiness", "ledger",
                      "vhost_proof", "reconciliation", "qemus"})  # fmt: skip
CRITERIA = ("highest", "lowest", "highest ratio to the baseline", "lowest ratio to the baseline")
# The columns that these read of the long tables, besides the key.
_COLUMNS = {
    "results": ("direction", "metric", "value", "unit", "status", "reason", "started"),
    "stages": ("direction", "stage", "function", "how", "attached", "calls", "frames", "bytes"),
    "threads": ("transfers",),
}
_ROWS, _LINES, _ALERTS, _DRAWINGS = 200, 12, 8, 8  # of one table, sentences and alerts of one section; paths


def telling(rows: Sequence[Row]) -> Mapping[str, list[Row]]:
    """The rows of one metric by each of `CRITERIA`, the most telling first."""
    known = [row for row in rows if present(row["mean"]) is not None]
    compared = [
        row for row in known if (present(row["ratio"]) or 0) > 0 and present(row["ratio_low"]) is not None
    ]
    by_mean = sorted(known, key=lambda row: -row["mean"])
    by_ratio = sorted(compared, key=lambda row: -math.log(row["ratio"]))
    return dict(zip(CRITERIA, (by_mean, by_mean[::-1], by_ratio, by_ratio[::-1]), strict=True))


class Excerpt(Answers):
    """`ask` has the rows of the cells that are shown, `whole` those of all cells."""

    def __init__(self, answers: Answers) -> None:
        if answers.is_large:
            answers = Answers(answers.run, RunTables(answers.run, columns=_COLUMNS))
        super().__init__(answers.run, answers.data.tables)
        self._all = answers
        self._every_path = self.paths
        self._ids = answers.run.cells()
        self._blocks: dict[tuple[str, ...], list[str]] = {}
        for cell in self._ids:
            self._blocks.setdefault(_block(cell_parts(cell)), []).append(cell)

    def choose(self, number: int) -> None:
        """Show the most telling cells, each with all back ends of its block: `number` in all, but one block
        at least."""
        self._asked = {}
        shown: list[str] = []
        for block in self._telling_blocks():
            more = self._blocks.get(block, [])
            if not shown or len(shown) + len(more) <= number:
                shown += more
        self._shown = {tuple(cell_parts(cell)) for cell in shown}
        tables = RunTables(self.run, shown)
        self._part = Data(tables, self.data.venue, self.baseline, self.data.machines)
        pairs = dict.fromkeys((*cell[:3], qemu_of(cell[-1])) for cell in sorted(self._shown))
        mine = [
            path for path in self._every_path if (path.nic, path.netdev, path.datapath, path.qemu) in pairs
        ]
        self.paths = tuple(mine[:_DRAWINGS])

    def whole(self, name: str) -> tuple[Row, ...]:
        return self._all.ask(name)

    def told(self, name: str) -> tuple[Row, ...]:
        return self.whole(name) if name in OVER_ALL else self.ask(name)

    @property
    def shown(self) -> int:
        """The number of cells that are shown; what was measured twice (A/A) is one."""
        return len(self._shown)

    def headline_rows(self) -> dict[str, list[Row]]:
        """Metric -> the rows of all cells, of the metrics by which cells are judged."""
        found: dict[str, list[Row]] = {name: [] for name in headlines(self.data)}
        for name in ("throughput", "latency", "workload_metrics"):
            for row in self.whole(name):
                if row["metric"] in found:
                    found[row["metric"]].append(row)
        return {metric: rows for metric, rows in found.items() if rows}

    def excerpted(self) -> Iterator[str]:
        yield say(
            "This page shows {shown} of {cells} cells: those that are furthest out, each with "
            "all back ends of its block. The section All cells has a map of all. Sentences and tables below "
            "are of the cells that are shown, unless they say otherwise. "
            "{command} writes every answer for all cells.",
            shown=self.shown,
            cells=f"{self.cells:,}",
            command=self.command(""),
        )

    def command(self, table: str) -> str:
        """The command that gives the rest."""
        return f"'qtrace export RUN --to csv{f' --only {table}' * bool(table)} -o FOLDER'"

    def cut(self, section: Section, analyses_of_it: Sequence[str]) -> Section:
        """Long tables end early, with the number of their rows and the command that gives all."""
        tables = tuple(self._cut_table(table, analyses_of_it) for table in section.tables)
        said = tuple(self.cut_lines(section.said, _LINES))
        if said and any(name in OVER_ALL for name in analyses_of_it):
            said = (say("Of all cells:"), *said)
        elif said and analyses_of_it:
            said = (say("Of the {number} cells that are shown:", number=self.shown), *said)
        return replace(section, tables=tables, said=said)

    def cut_lines(self, lines: Iterable[str], most: int = _ALERTS) -> Iterator[str]:
        found = list(lines)
        yield from found[:most]
        if len(found) > most:
            more = f"{len(found) - most:,}"
            yield say("{number} more of this kind: 'qtrace analyses RUN'.", number=more)

    def _cut_table(self, table: Table, names: Sequence[str]) -> Table:
        if len(table.rows) <= _ROWS:
            return table
        name = names[0] if len(names) == 1 else ""
        why = say(
            "The first {shown} of {rows} rows, because a page has no room for more. {command} has all.",
            shown=_ROWS,
            rows=f"{len(table.rows):,}",
            command=self.command(name),
        )
        said = f"{table.said} {why}"
        return replace(table, rows=table.rows[:_ROWS], said=said.strip())

    def _answer(self, name: str) -> tuple[Row, ...]:
        rows = self.whole(name) if name in OVER_ALL else answered(name, self._part)
        return tuple(row for row in rows if self._is_shown(row))

    def _is_shown(self, row: Row) -> bool:
        """A row without a cell is of all cells."""
        return not row.get("nic") or tuple(str(row[name]) for name in CELL) in self._shown

    def _telling_blocks(self) -> Iterator[tuple[str, ...]]:
        """In turns the block of the first, second … cell by each criterion of each metric."""
        lists = [found for rows in self.headline_rows().values() for found in telling(rows).values()]
        seen: set[tuple[str, ...]] = set()
        for rank in range(MORE[0]):
            for rows in lists:
                if rank < len(rows):
                    block = _block([str(rows[rank][name]) for name in CELL])
                    if block not in seen:
                        seen.add(block)
                        yield block
        if not lists:
            yield from sorted(self._blocks)


def _block(parts: Sequence[str]) -> tuple[str, ...]:
    """NIC, direction and workload with its setting: what one machine measures at a time."""
    row = dict(zip(CELL, parts, strict=True))
    return row["nic"], row["way"], row["workload"]
