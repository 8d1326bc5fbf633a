"""The description of the tables: numbers have units, files carry them, and format 1 is read as this one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qtrace.errors import StoreError
from qtrace.store.run import RunReader, RunWriter, close_dead
from qtrace.store.run_schema import FORMAT, META, RENAMED, SCHEMAS, TABLES, Column, TableSchema

CELL = "e1000+tap+qemu+tx+tcp"
META_ROWS = {"venue": "host", "conditions": {}, "paths": []}
ENDS = {"from_stage": "send", "from_function": "f", "to_stage": "deliver", "to_function": "g"}
ROWS: dict[str, dict[str, Any]] = {
    "queues": {"netdev_id": "net0", "queue": 1, "direction": "tx", "calls": 7, "frames": 7, "bytes": 700},
    "edges": {"direction": "tx", "bucket": 12, "count": 5} | ENDS,
    "waits": {"netdev_id": "net0", "bucket": 20, "count": 1} | ENDS,
    "frame_times": {"netdev_id": "net0", "bucket": 14, "count": 6} | ENDS,
}
# Whole numbers that count nothing: places, ids, and what says so itself.
NO_UNIT = {"rep", "order", "position", "queue", "line", "tid", "cpu", "frame"}


def written(path: Path) -> Path:
    with RunWriter.create(path, META_ROWS) as writer:
        writer.add(CELL, 1, True, {name: [row] for name, row in ROWS.items()})
    return path


def as_format_1(path: Path) -> Path:
    """The same run as the release before would have written it."""
    for table, names in RENAMED[1].items():
        old = {new: name for name, new in names.items()}
        for file in (path / "data" / table).rglob("*.parquet"):
            content = pq.ParquetFile(file).read()
            pq.write_table(content.rename_columns([old.get(n, n) for n in content.column_names]), file)
    meta = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps(meta | {"format": 1}))
    return path


@pytest.mark.parametrize("name", TABLES)
def test_every_number_has_a_unit(name: str) -> None:
    for column in TABLES[name].columns:
        number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
        assert bool(column.unit) == (number and column.name not in NO_UNIT), column.name
        assert column.meaning and not column.meaning.endswith("."), column.name
        if "bytes" in column.name:
            assert column.unit == "bytes", column.name
        if column.name.endswith("_ns"):
            assert column.unit == "ns", column.name


def test_netdev_is_the_kind_and_bucket_the_histogram_s() -> None:
    assert {name for name, schema in SCHEMAS.items() if "netdev" in schema.names} == {"results"}
    assert not [name for name, schema in SCHEMAS.items() if "slot" in schema.names]


def test_a_file_says_what_its_columns_are(tmp_path: Path) -> None:
    (file,) = (written(tmp_path / "run") / "data" / "frame_times").rglob("*.parquet")
    field = pq.read_schema(file).field("bucket")
    assert field.metadata[b"unit"] == b"log2 ns" and b"2^bucket" in field.metadata[b"description"]
    assert b"unit" not in pq.read_schema(file).field("netdev_id").metadata


def test_a_run_has_the_entries_that_are_described(tmp_path: Path) -> None:
    known = {name for name, _, _ in META}
    assert RunReader.open(written(tmp_path / "run")).meta.keys() <= known


def test_format_1_reads_as_this_one(tmp_path: Path) -> None:
    new, old = (
        RunReader.open(written(tmp_path / "new")),
        RunReader.open(as_format_1(written(tmp_path / "old"))),
    )
    assert old.meta["format"] == 1 and new.meta["format"] == FORMAT
    for name in SCHEMAS:
        assert old.table(name).schema == SCHEMAS[name]
        assert old.table(name).to_pylist() == new.table(name).to_pylist(), name
    assert not old.damaged
    (row,) = old.table("queues").to_pylist()
    assert (row["netdev_id"], row["calls"]) == ("net0", 7)


def test_a_missing_column_is_damage(tmp_path: Path) -> None:
    path = written(tmp_path / "run")
    file = next((path / "data" / "edges").rglob("*.parquet"))
    content = pq.ParquetFile(file).read()
    pq.write_table(content.drop_columns(["bucket"]), file)
    run = RunReader.open(path)
    assert run.table("edges").num_rows == 0 and len(run.damaged) == 1


def test_nothing_is_added_to_an_older_run_but_it_can_be_closed(tmp_path: Path) -> None:
    path = as_format_1(written(tmp_path / "run"))
    meta = json.loads((path / "run.json").read_text())
    with pytest.raises(StoreError, match="format 1: nothing can be added"):
        RunWriter(path, meta).add(CELL, 2, True, {"edges": [ROWS["edges"]]})
    (path / "run.json").write_text(json.dumps(meta | {"status": "running"}))
    close_dead(path)
    closed = RunReader.open(path)
    assert (closed.meta["status"], closed.meta["format"]) == ("interrupted", 1)
    assert closed.table("edges").to_pylist()[0]["bucket"] == 12


def test_a_table_that_only_its_writer_knows_is_read_by_what_the_files_say(tmp_path: Path) -> None:
    """In the run, with units; and a file of other columns is damage."""
    count = Column("count", pa.int64(), "how many", "calls")
    own = TableSchema("own", "What is ours.", (Column("name", pa.string(), "a name"), count))
    with RunWriter.create(tmp_path / "run", META_ROWS, [own]) as writer:
        writer.add(CELL, 1, True, {"own": [{"name": "a", "count": 7}]})
        writer.add(CELL, 2, True, {"own": [{"name": "b", "count": 9}]})
        with pytest.raises(StoreError, match="no column calls"):
            writer.add(CELL, 3, True, {"own": [{"name": "c", "calls": 1}]})
    run = RunReader.open(tmp_path / "run")
    assert run.table("own").schema == own.schema
    assert run.table("own").schema.field("count").metadata[b"unit"] == b"calls"
    assert [(row["rep"], row["name"], row["count"]) for row in run.table("own").to_pylist()] == [
        (1, "a", 7),
        (2, "b", 9),
    ]
    assert run.table("nobody-s").num_rows == 0 and not run.damaged
    file = max((tmp_path / "run/data/own").rglob("*.parquet"))
    pq.write_table(pq.ParquetFile(file).read().drop_columns(["count"]), file)
    assert [row["name"] for row in run.table("own").to_pylist()] == ["a"] and len(run.damaged) == 1
