"""Finds the analyses: every module of this folder with a `QUESTION` and an `analyse(data)`."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

import qtrace.analyses
from qtrace.analyses.methods.data import Data

__all__ = ["Analysis", "analyses"]


@dataclass(frozen=True, slots=True)
class Analysis:
    """One question that a run can be asked. `columns` are what the answer always has, also when empty."""

    name: str
    question: str
    columns: tuple[str, ...]
    _analyse: Callable[[Data], pd.DataFrame]

    def __call__(self, data: Data) -> pd.DataFrame:
        """The answer: one row a case, `columns` in order."""
        frame = self._analyse(data)
        if frame.empty and not len(frame.columns):
            return pd.DataFrame(columns=list(self.columns))
        return frame[list(self.columns)].reset_index(drop=True)


@functools.cache
def analyses() -> dict[str, Analysis]:
    """Name -> analysis, in alphabetical order. Dropping a file in is enough to be listed."""
    found: dict[str, Analysis] = {}
    for info in sorted(pkgutil.iter_modules(qtrace.analyses.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"qtrace.analyses.{info.name}")
        if question := getattr(module, "QUESTION", None):
            found[info.name] = Analysis(info.name, question, tuple(module.COLUMNS), module.analyse)
    return found
