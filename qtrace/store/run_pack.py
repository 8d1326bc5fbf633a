"""Packed tables of a run: a table's measurements in few files, sorted by cell, so that a part can be read.

A writer makes a file for each measurement, which nothing can leave half-written; ten thousand cells are then
a million files. `qtrace merge` packs them, and every reader of the format reads both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from qtrace.errors import StoreError

__all__ = ["PACKED", "pack_table"]

# The folder of packed files, in place of one for each cell.
PACKED = "cell=every"
_GROUP = 32 * 1024  # rows in a row group: what is read at once
_FILE = 32 * 2**20  # bytes of Arrow's memory in a file, which is several times smaller


def pack_table(run: Path, name: str, chunks: Iterable[pa.Table]) -> list[Path]:
    """Write a table's rows, sorted by cell, to files of the run's folder; returns them. Memory holds a
    file. Raises StoreError."""
    folder = run / "data" / name / PACKED
    written: list[Path] = []
    try:
        for groups in _files(_groups(chunks)):
            folder.mkdir(parents=True, exist_ok=True)
            written.append(folder / f"{len(written) + 1:04}.parquet")
            beside = written[-1].with_name(f".{written[-1].name}.part")
            with pq.ParquetWriter(beside, groups[0].schema, compression="zstd") as out:
                for group in groups:
                    out.write_table(group)
            beside.replace(written[-1])
    except OSError as exc:
        raise StoreError(f"cannot write {folder}: {exc.strerror or exc}") from exc
    return written


def _files(groups: Iterable[pa.Table]) -> Iterator[list[pa.Table]]:
    """The groups of each file."""
    waiting: list[pa.Table] = []
    for group in groups:
        waiting.append(group)
        if sum(one.nbytes for one in waiting) > _FILE:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _groups(chunks: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The rows in groups of `_GROUP` or less; a chunk's rows stay in order."""
    waiting: list[pa.Table] = []
    rows = 0
    for chunk in chunks:
        waiting.append(chunk)
        rows += len(chunk)
        if rows >= _GROUP:
            yield from _cut(waiting)
            waiting, rows = [], 0
    if rows:
        yield from _cut(waiting)


def _cut(parts: Sequence[pa.Table]) -> Iterator[pa.Table]:
    whole = pa.concat_tables(parts).combine_chunks()
    for start in range(0, len(whole), _GROUP):
        yield whole.slice(start, _GROUP)
