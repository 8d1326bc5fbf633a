"""Writes rows to the source index on disk; `qtrace.store.index` reads it, `schema.sql` has its tables."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from qtrace.errors import StoreError
from qtrace.store.index import FORMAT

__all__ = ["write_index"]

_INDEX = re.compile(r"^CREATE INDEX .*\n", re.MULTILINE)


def write_index(path: Path, meta: Mapping[str, str], rows: Mapping[str, Iterable[Sequence[Any]]]) -> None:
    """Write the index at `path` from table name -> rows, completely or not at all. Raises StoreError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with contextlib.closing(sqlite3.connect(beside)) as db:
            db.execute("PRAGMA journal_mode = OFF")
            db.execute("PRAGMA synchronous = OFF")
            schema = resources.files("qtrace.store").joinpath("schema.sql").read_text()
            # Sorted once at the end, an index of a table costs half of what it costs row by row.
            tables, indexes = _INDEX.sub("", schema), _INDEX.findall(schema)
            db.executescript(tables)
            meta = {**meta, "format": str(FORMAT)}
            db.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
            for table, content in rows.items():
                width = len(db.execute(f"SELECT * FROM {table} LIMIT 0").description)
                db.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * width)})", content)
            db.executescript("".join(indexes))
            db.commit()
        beside.replace(path)
    except (sqlite3.Error, OSError) as exc:
        raise StoreError(f"cannot write the index {path}: {exc}") from exc
    finally:
        beside.unlink(missing_ok=True)
