"""The run format: one recorded campaign as a folder of JSON and Parquet (docs/run-format.md).

Every file is written under a temporary name and renamed, so the recorded part stays readable even if the
writer is killed. All data is checked when read: a run may come from anywhere.
"""

from __future__ import annotations

import functools
import json
import os
import re
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from qtrace.cache import hold
from qtrace.errors import StoreError
from qtrace.store.run_pack import PACKED
from qtrace.store.run_schema import FORMAT, KEY, OLDEST, SCHEMAS, TableSchema, migrated

__all__ = ["STATUSES", "RunReader", "RunWriter", "Tables", "close_dead", "require_free"]

STATUSES = ("running", "complete", "interrupted", "partial")
# Table name -> rows without the key columns.
Tables = dict[str, list[dict[str, Any]]]

_RESERVE = ".reserve"
_LARGEST_JSON = 64 * 2**20
# A measurement's table has some hundred rows; a file near this size is not from qtrace.
_LARGEST_TABLE = 64 * 2**20
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


class RunWriter:
    """Records a run. A context manager: leaving it by an error marks the run `interrupted`."""

    def __init__(self, path: Path, meta: dict[str, Any], more: Iterable[TableSchema] = ()) -> None:
        self.path = path
        self._meta = meta
        self._schemas = {**SCHEMAS, **{table.name: table.schema for table in more}}
        self._lock: BinaryIO | None = None

    @classmethod
    def create(cls, path: Path, meta: Mapping[str, Any], more: Iterable[TableSchema] = ()) -> RunWriter:
        """Begin a run in the folder `path`, which must be absent or empty; `more` are tables beyond the
        format's, known to the writer only. Raises StoreError."""
        require_free(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise StoreError(f"cannot make the run folder {path}: {exc.strerror}") from exc
        now = datetime.now(UTC).isoformat(timespec="seconds")
        head = {"format": FORMAT, "id": path.name, "created": now, "finished": None, "status": "running"}
        writer = cls(path, {**head, **meta}, more)
        writer._save()
        writer._reserve()
        pa.array([0])  # pyarrow loads pandas with the first array: not when a window has ended
        return writer

    @classmethod
    def resume(cls, run: RunReader, more: Iterable[TableSchema] = ()) -> RunWriter:
        """Go on with a run whose writer was interrupted or killed.

        Raises StoreError for a run that went through its plan, that still runs, or that is of another format.
        """
        if run.meta["status"] not in ("interrupted", "running"):
            raise StoreError(f"{run.path} went through its plan: there is nothing to resume")
        writer = cls(run.path, {**run.meta, "status": "running", "finished": None}, more)
        writer._require_format()
        writer._reserve()
        writer._save()
        return writer

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self._meta["status"] == "running":
            self.finish("interrupted" if kind else "complete")

    def add(
        self,
        cell: str,
        rep: int,
        probed: bool,
        tables: Mapping[str, Sequence[Mapping[str, Any]]],
        raw: Mapping[str, Any] | None = None,
    ) -> None:
        """Record one measurement: rows by table (without the key columns) and raw documents by name.

        Raises StoreError, also if the run is of an older format: its files would then differ in meaning.
        """
        self._require_format()
        measurement = f"{_safe(cell)}.{rep}.{'probed' if probed else 'plain'}"
        for name, document in (raw or {}).items():
            folder = self.path / "raw" / measurement
            _write(folder / f"{_safe(name)}.json", json.dumps(document, indent=1).encode())
        key = {"cell": cell, "rep": rep, "probed": probed}
        for table, rows in tables.items():
            schema = self._schemas[table]
            for row in rows:
                if extra := row.keys() - set(schema.names):
                    raise StoreError(f"table {table!r} has no column {', '.join(sorted(extra))}")
            if rows:
                sink = pa.BufferOutputStream()
                pq.write_table(pa.Table.from_pylist([{**key, **row} for row in rows], schema=schema), sink)
                folder = self.path / "data" / table / f"cell={cell}"
                _write(folder / f"{measurement}.parquet", sink.getvalue().to_pybytes())

    def update(self, **meta: Any) -> None:
        """Change entries of run.json."""
        self._meta |= meta
        self._save()

    def finish(self, status: str) -> None:
        """Close the run as `complete`, `partial` (cells failed) or `interrupted`."""
        if status not in STATUSES:
            raise ValueError(status)
        (self.path / _RESERVE).unlink(missing_ok=True)
        if self._lock:
            self._lock.close()
        self.update(status=status, finished=datetime.now(UTC).isoformat(timespec="seconds"))

    def _require_format(self) -> None:
        if (written := self._meta.get("format")) != FORMAT:
            raise StoreError(f"{self.path} is of format {written!r}: nothing can be added to it")

    def _reserve(self) -> None:
        """Room for the last writing of run.json: a run that fills its disk can still be closed. The file is
        locked as long as the writer lives."""
        file = self.path / _RESERVE
        if file.exists():
            self._lock = _locked(file)
        size = (self.path / "run.json").stat().st_size
        _write(file, bytes(2 * size + 4096))
        self._lock = _locked(file)

    def _save(self) -> None:
        _write(self.path / "run.json", json.dumps(self._meta, indent=1, ensure_ascii=False).encode())


class RunReader:
    """A run on disk. `damaged` names the unreadable files; the others can still be read."""

    def __init__(self, path: Path, meta: dict[str, Any]) -> None:
        self.path = path
        self.meta = meta
        self.damaged: list[str] = []

    @classmethod
    def open(cls, path: Path) -> RunReader:
        """Read and check `path`/run.json. Raises StoreError."""
        file = path / "run.json"
        try:
            if file.stat().st_size > _LARGEST_JSON:
                raise StoreError(f"{file} is too large to be a run's metadata")
            meta = json.loads(file.read_text(encoding="utf-8"))
        except OSError as exc:
            raise StoreError(
                f"{path} is not a run: {file.name}: {exc.strerror}",
                hint="give the folder that 'qtrace bench' or 'qtrace record' wrote",
            ) from exc
        except (ValueError, RecursionError) as exc:
            raise StoreError(f"{file} is damaged: {exc}") from exc
        _check_format(file, meta.get("format") if isinstance(meta, dict) else None)
        for key, kind in (
            ("id", str),
            ("status", str),
            ("venue", str),
            ("conditions", dict),
            ("paths", list),
        ):
            if not isinstance(meta.get(key), kind):
                raise StoreError(f"{file}: {key!r} is missing or not a {kind.__name__}")
        _check_parts(file, meta)
        return cls(path, meta)

    def tables(self) -> list[str]:
        """The format's tables, and further tables that the run's writer defined."""
        folders = (path.name for path in self.path.glob("data/*") if path.is_dir())
        return sorted({*SCHEMAS, *(name for name in folders if _SAFE.fullmatch(name))})

    def cells(self) -> list[str]:
        """The ids of all cells with a result or a failure, sorted; no other column is read."""
        found: set[str] = set()
        for file in self.files("results"):
            if file.parent.name != PACKED:
                found.add(_cell_of(file))
            elif (
                part := self._read(file, "results", functools.partial(_rows, file, None, ["cell"]))
            ) is not None:
                found.update(map(str, part.column("cell").unique().to_pylist()))
        return sorted(found)

    def table(
        self, name: str, cells: Collection[str] | None = None, columns: Collection[str] | None = None
    ) -> pa.Table:
        """The rows of one table from all measurements, with the key columns; empty if there are none.

        With `cells`, the rows of these alone: of packed files (`store/run_pack.py`) only the row groups that
        may hold them are read. The columns are those of `run_schema.SCHEMAS` whatever format the run has, or
        the key and `columns` alone; a table that is not in the schemas has its file's own columns.
        """
        wanted = None if cells is None else frozenset(cells)
        key = pa.schema([column.field for column in KEY])
        kept = None if columns is None else [*key.names, *columns]
        parts = [part if kept is None else part.select(kept) for part in self.parts(name, wanted)]
        empty = SCHEMAS.get(name, key).empty_table()
        return pa.concat_tables(parts) if parts else empty if kept is None else empty.select(kept)

    def parts(self, name: str, cells: frozenset[str] | None = None) -> Iterator[pa.Table]:
        """The rows of a table file by file, as `table` has them; a damaged file is named in `damaged`."""
        first: pa.Schema | None = None

        def read() -> pa.Table:
            part = _rows(file, cells if file.parent.name == PACKED else None)
            if name in SCHEMAS:
                return migrated(part, name, self.meta["format"])
            if first is not None:
                return part.select(first.names).cast(first)
            key = pa.schema([column.field for column in KEY])
            part.select(key.names).cast(key)
            return part

        for file in self.files(name):
            if cells is not None and file.parent.name != PACKED and _cell_of(file) not in cells:
                continue
            if (part := self._read(file, name, read)) is not None:
                first = first or part.schema
                yield part

    def rows(self, name: str, file: Path) -> pa.Table | None:
        """The rows of one file of a table of `SCHEMAS`; None of a damaged one, which `damaged` then names."""
        return self._read(file, name, lambda: migrated(_rows(file), name, self.meta["format"]))

    def files(self, name: str) -> list[Path]:
        """The files of a table, in the order in which they are read."""
        return sorted((self.path / "data" / name).glob("cell=*/*.parquet"))

    def _read(self, file: Path, name: str, read: Callable[[], pa.Table]) -> pa.Table | None:
        """What `read` gives; None of a damaged file, which is then among `damaged`."""
        folder = self.path / "data" / name
        try:
            _inside(file, self.path, any(part.is_symlink() for part in (folder.parent, folder)))
            return read()
        except (OSError, pa.ArrowException, KeyError, ValueError) as exc:
            entry = f"{file.relative_to(self.path)}: {str(exc).splitlines()[0]}"
            if entry not in self.damaged:
                self.damaged.append(entry)
            return None


def _cell_of(file: Path) -> str:
    return file.parent.name.removeprefix("cell=")


def _rows(file: Path, cells: frozenset[str] | None = None, columns: list[str] | None = None) -> pa.Table:
    """The file's rows; with `cells` of these alone, from the row groups that may hold them."""
    if cells is None:
        # ParquetFile, because read_table would take the folder's name for a column. A measurement's
        # table is small: handing it to threads takes longer than reading it.
        return pq.ParquetFile(file).read(columns=columns, use_threads=False)
    wanted = ds.field("cell").isin(list(cells))
    return ds.dataset(file, format="parquet").to_table(columns=columns, filter=wanted, use_threads=False)


def _check_format(file: Path, said: object) -> None:
    """Raise StoreError unless qtrace can read runs of the format `said`."""
    if type(said) is int and OLDEST <= said <= FORMAT:
        return
    reads = f"this qtrace reads {OLDEST} to {FORMAT}"
    if type(said) is int and said > FORMAT:
        raise StoreError(
            f"{file}: format {said} is newer than this qtrace ({reads})",
            hint="read the run with the release of qtrace that wrote it, or a newer one",
        )
    raise StoreError(f"{file}: format {said!r} is not known ({reads})")


def _check_parts(file: Path, meta: Mapping[str, Any]) -> None:
    """Raise StoreError unless `blocks`, `hosts`, `precision` and `resumed`, which not every run has, are as
    the format says."""
    precision = meta.get("precision", [])
    if not isinstance(precision, list) or not all(isinstance(one, dict) for one in precision):
        raise StoreError(f"{file}: 'precision' is not a list of what was reached")
    resumed = meta.get("resumed", [])
    if not isinstance(resumed, list) or not all(type(one) is int for one in resumed):
        raise StoreError(f"{file}: 'resumed' is not a list of numbers of measurements")
    if not isinstance(meta.get("blocks", []), list):
        raise StoreError(f"{file}: 'blocks' is not a list")
    hosts = meta.get("hosts", [])
    kinds = {"blocks": list, "conditions": dict}
    if not isinstance(hosts, list) or not all(
        isinstance(host, dict) and all(isinstance(host.get(key), kind) for key, kind in kinds.items())
        for host in hosts
    ):
        raise StoreError(f"{file}: 'hosts' is not a list of blocks and conditions")


def require_free(path: Path) -> None:
    """Raise StoreError unless a run can begin in `path`: it must be absent, or an empty folder."""
    try:
        if path.exists() and any(path.iterdir()):
            raise StoreError(f"{path} is not empty", hint="choose another folder for the run")
    except OSError as exc:
        raise StoreError(f"cannot make the run folder {path}: {exc.strerror}") from exc


def close_dead(path: Path) -> None:
    """Mark the run at `path`, begun by a process that died, as interrupted. Raises StoreError."""
    if (path / "run.json").exists():
        meta = RunReader.open(path).meta
        if meta["status"] == "running":
            RunWriter(path, meta).finish("interrupted")


def _locked(file: Path) -> BinaryIO:
    """The file, open and locked. Raises StoreError where another process has it."""
    handle = file.open("rb")
    if not hold(handle.fileno()):
        handle.close()
        raise StoreError(f"{file.parent} is being written by another process")
    return handle


def _inside(file: Path, folder: Path, linked: bool) -> None:
    """Raise ValueError if `file` is outside the run's folder, or too large for a measurement's table.

    It can be outside only if it, its cell's folder or one above (`linked`) is a link.
    """
    linked = linked or file.is_symlink() or file.parent.is_symlink()
    if linked and not file.resolve().is_relative_to(folder.resolve()):
        raise ValueError("leads out of the run's folder")
    if file.stat().st_size > _LARGEST_TABLE:
        raise ValueError("too large to be one measurement's table")


def _safe(name: str) -> str:
    if not _SAFE.fullmatch(name):
        raise StoreError(f"{name!r} cannot be part of a file name")
    return name


def _write(file: Path, content: bytes) -> None:
    """Write to a temporary file and rename it, so that `file` is never incomplete."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{file.name[:60]}.", dir=file.parent)
        beside = Path(name)
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(content)
            beside.chmod(0o644)
            beside.replace(file)
        except BaseException:
            beside.unlink()
            raise
    except OSError as exc:
        raise StoreError(f"cannot write {file}: {exc.strerror}") from exc
