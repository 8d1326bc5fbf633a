"""The tables of a stored run as DataFrames, each read when it is asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import pandas as pd

from qtrace.store.run import RunReader

__all__ = ["RunTables"]


class RunTables(Mapping[str, pd.DataFrame]):
    """Name -> table of `run`; with `cells`, the rows of these cells alone are read, with `columns` (by table)
    the key and these columns."""

    def __init__(
        self,
        run: RunReader,
        cells: Collection[str] | None = None,
        columns: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        self._run, self._cells, self._columns = run, cells, columns or {}
        self._names = run.tables()
        self._read: dict[str, pd.DataFrame] = {}

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._read:
            table = self._run.table(name, self._cells, self._columns.get(name))
            self._read[name] = table.to_pandas()
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names
