"""Packed tables: what is read of them is what was written, and no more than is asked for."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qtrace.store.run import RunReader, RunWriter
from qtrace.store.run_merge import merge_runs
from qtrace.store.run_pack import PACKED, pack_table
from qtrace.store.run_schema import SCHEMAS

META = {"qtrace": "0", "command": [], "venue": "host", "conditions": {}, "paths": []}
PLAN = {"name": "x", "cells": [], "blocks": ["b"]}


def written(path: Path, cells: list[str], rows: int = 2) -> RunReader:
    """A run as its writer leaves it: a file for each measurement (rows are made up)."""
    with RunWriter.create(path, {**META, "plan": PLAN, "blocks": ["b"]}) as writer:
        for number, cell in enumerate(cells):
            row = {"metric": "throughput", "value": float(number), "unit": "bit/s", "status": "ok"}
            writer.add(cell, 1, False, {"results": [row] * rows})
    return RunReader.open(path)


def test_a_packed_run_has_the_same_rows_in_the_same_order(tmp_path: Path) -> None:
    loose = written(tmp_path / "loose", ["b+1", "a+2", "c+0"])
    packed = merge_runs([loose], tmp_path / "packed", [])
    assert packed.table("results").equals(loose.table("results"))
    assert packed.cells() == loose.cells() == ["a+2", "b+1", "c+0"]
    assert {file.parent.name for file in packed.files("results")} == {PACKED}
    assert packed.table("results", ["b+1"]).equals(loose.table("results", ["b+1"]))
    assert packed.table("results", ["b+1"]).column("value").to_pylist() == [0.0, 0.0]
    assert packed.table("results", []).schema.equals(loose.table("results").schema)
    assert packed.table("results", ["a+2"], ["value"]).column_names == ["cell", "rep", "probed", "value"]


def test_only_the_row_groups_of_the_cells_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qtrace.store.run_pack._GROUP", 10)
    run = written(tmp_path / "run", ["z"])
    cells = [f"c+{number:03}" for number in range(100)]
    rows = [{"cell": cell, "rep": 1, "probed": False, "value": 1.0} for cell in cells]
    (file,) = pack_table(run.path, "results", [pa.Table.from_pylist(rows, schema=SCHEMAS["results"])])
    assert pq.ParquetFile(file).metadata.num_row_groups == 10
    content = bytearray(file.read_bytes())
    group = pq.ParquetFile(file).metadata.row_group(9)  # its cells are 090 to 099
    column = group.column(0)
    start = column.dictionary_page_offset or column.data_page_offset
    content[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
    file.write_bytes(content)
    assert run.table("results", ["c+003", "c+085"]).num_rows == 2 and not run.damaged
    assert run.table("results", ["c+095"]).num_rows == 0 and len(run.damaged) == 1


def test_a_damaged_file_is_kept_and_named(tmp_path: Path) -> None:
    loose = written(tmp_path / "loose", ["a", "b"])
    file = loose.files("results")[0]
    file.write_bytes(file.read_bytes()[:40])
    packed = merge_runs([RunReader.open(tmp_path / "loose")], tmp_path / "packed", [])
    assert packed.table("results").column("cell").to_pylist() == ["b", "b"]
    assert len(packed.damaged) == 1 and "cell=a" in packed.damaged[0]


def test_a_table_that_only_its_writer_knows_stays_as_it_is(tmp_path: Path) -> None:
    loose = written(tmp_path / "loose", ["a"])
    folder = tmp_path / "loose/data/errnos/cell=a"
    folder.mkdir(parents=True)
    own = pa.table({"cell": ["a"], "rep": pa.array([1], pa.int32()), "probed": [True], "errno": ["EAGAIN"]})
    pq.write_table(own, folder / "a.1.probed.parquet")
    packed = merge_runs([loose], tmp_path / "packed", [])
    assert packed.table("errnos").equals(loose.table("errnos")) and "errnos" in packed.tables()


def test_many_rows_become_several_files_and_a_half_written_one_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qtrace.store.run_pack._FILE", 10_000)
    monkeypatch.setattr("qtrace.store.run_pack._GROUP", 64)
    run = written(tmp_path / "run", ["z"])
    chunk = pa.Table.from_pylist(
        [{"cell": "a", "rep": number, "probed": False} for number in range(1000)], schema=SCHEMAS["stops"]
    )
    files = pack_table(run.path, "stops", [chunk.slice(0, 300), chunk.slice(300)])
    assert len(files) > 2 and run.table("stops").equals(chunk)
    (files[0].parent / f".{files[0].name}.part").write_bytes(b"half")
    assert run.table("stops").num_rows == 1000 and not run.damaged
