"""Finds the analyses: every module of this folder with a `QUESTION` and an `analyse(data)`.

A module may also have `say(rows)`, which answers in sentences: it yields the key of a sentence in `SAYS` and
the values for its places. `{speed:bits}` is the value `speed` as a rate (formats: `report/sentences.py`).
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

import qtrace.analyses
from qtrace.analyses.methods.data import Data
from qtrace.analyses.methods.sentence import Row, Said
from qtrace.errors import StoreError

__all__ = ["Analysis", "analyses"]


_KINDS = {int: "whole numbers", str: "text"}


@dataclass(frozen=True, slots=True)
class Analysis:
    """One question about a run. The answer always has the columns `columns`, also without rows.

    `needs` are tables that only some runs have (an instrument's): name -> column -> `str` or `int`. `say`
    chooses sentences of `says` by the answer's rows, in which a missing value is None.
    """

    name: str
    question: str
    columns: tuple[str, ...]
    _analyse: Callable[[Data], pd.DataFrame]
    needs: Mapping[str, Mapping[str, type]] = field(default_factory=dict)
    says: Mapping[str, str] = field(default_factory=dict)
    say: Callable[[Sequence[Row]], Iterable[Said]] = lambda rows: ()

    def __call__(self, data: Data) -> pd.DataFrame:
        """The answer: one row for each case, `columns` in order; no rows if a needed table has none.

        Raises StoreError if such a table has other columns.
        """
        if any(table not in data.tables or data.tables[table].empty for table in self.needs):
            return pd.DataFrame(columns=list(self.columns))
        for table, columns in self.needs.items():
            _check(table, data.tables[table], columns)
        frame = self._analyse(data)
        if frame.empty and not len(frame.columns):
            return pd.DataFrame(columns=list(self.columns))
        return frame[list(self.columns)].reset_index(drop=True)


def _check(table: str, frame: pd.DataFrame, columns: Mapping[str, type]) -> None:
    for name, kind in columns.items():
        held = frame.get(name)
        whole = held is not None and pd.api.types.is_integer_dtype(held)
        if held is None or whole != (kind is int):
            raise StoreError(f"the run's table {table!r} has no column {name!r} of {_KINDS[kind]}")


@functools.cache
def analyses() -> dict[str, Analysis]:
    """Name -> analysis, in alphabetical order. A new file in the folder is found without a list."""
    found: dict[str, Analysis] = {}
    for info in sorted(pkgutil.iter_modules(qtrace.analyses.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"qtrace.analyses.{info.name}")
        if question := getattr(module, "QUESTION", None):
            more = {name: value for name in ("needs", "says", "say")
                    if (value := getattr(module, name if name == "say" else name.upper(), None))}  # fmt: skip
            columns = tuple(module.COLUMNS)
            found[info.name] = Analysis(info.name, question, columns, module.analyse, **more)
    return found
