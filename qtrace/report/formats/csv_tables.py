"""The answers of a run's analyses as CSV files, for all cells: of a large run one traffic after the other."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data, cell_parts
from qtrace.analyses.methods.registry import analyses
from qtrace.errors import StoreError
from qtrace.report.answers import Answers
from qtrace.report.excerpt import OVER_ALL
from qtrace.report.run_tables import RunTables
from qtrace.store.run import RunReader

__all__ = ["write_csv"]

_AT_ONCE = 512  # cells: a table is read once for so many

_SPREADSHEET = ("=", "+", "-", "@")  # a program may take a text that begins so for a formula


def write_csv(run: RunReader, names: Sequence[str], folder: Path) -> list[tuple[Path, int]]:
    """Write `folder`/NAME.csv for each analysis of `names`; returns the files with their number of rows.

    All files are made in a folder beside, which is then renamed. A missing value is an empty field. Raises
    StoreError, also if `folder` exists.
    """
    if folder.exists():
        raise StoreError(f"{folder} exists already", hint="choose another name, or remove it")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name[:60]}.", dir=folder.parent))
        try:
            rows = _written(Answers(run), names, work)
            work.chmod(0o755)
            work.rename(folder)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
    except OSError as exc:
        raise StoreError(f"cannot write {folder}: {exc.strerror}") from exc
    return [(folder / f"{name}.csv", rows[name]) for name in names]


def _written(answers: Answers, names: Sequence[str], folder: Path) -> dict[str, int]:
    rows = dict.fromkeys(names, 0)
    for name in names:
        pd.DataFrame(columns=list(analyses()[name].columns)).to_csv(folder / f"{name}.csv", index=False)
    for some, data in _parts(answers, names):
        for name in some:
            frame = analyses()[name](data)
            rows[name] += len(frame)
            frame.map(_text).to_csv(folder / f"{name}.csv", mode="a", header=False, index=False)
    return rows


def _parts(answers: Answers, names: Sequence[str]) -> Iterator[tuple[list[str], Data]]:
    """Analyses with the data that they need at once: all, or the cells of one traffic with its pairs."""
    if not answers.is_large:
        yield list(names), answers.data
        return
    if over_all := [name for name in names if name in OVER_ALL]:
        yield over_all, answers.data
    by_cell = [name for name in names if name not in OVER_ALL]
    traffic: dict[tuple[str, ...], list[str]] = {}
    for cell in answers.run.cells():
        row = dict(zip(CELL, cell_parts(cell), strict=True))
        traffic.setdefault((row["way"], row["workload"]), []).append(cell)
    waiting: list[str] = []
    *others, last = traffic.values()
    for cells in (*others, last) if by_cell else ():
        waiting += cells
        if len(waiting) >= _AT_ONCE or cells is last:
            tables = RunTables(answers.run, waiting)
            yield by_cell, Data(tables, answers.data.venue, answers.baseline, answers.data.machines)
            waiting = []


def _text(value: object) -> object:
    """A name may come from a guest: it stays a text, on one line."""
    if not isinstance(value, str):
        return value
    clean = "".join(char if char.isprintable() else " " for char in value)
    return f"'{clean}" if clean.startswith(_SPREADSHEET) else clean
