"""Failed system calls by errno, of rows made by hand (test data), and of runs that have not such a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from qtrace.errors import StoreError
from qtrace.measure.instruments.errnos import COLUMNS
from qtrace.report.answers import Answers
from qtrace.report.render import build
from qtrace.store.run import RunReader, RunWriter
from qtrace.store.run_schema import Column, TableSchema

CELL = "virtio-net-pci+tap+qemu+both+live"
META = {"venue": "host", "conditions": {}, "paths": []}


def failed(name: str, errno: str, count: int, tid: int = 1) -> dict[str, Any]:
    return {"thread": "t", "tid": tid, "name": name, "fd": "tap", "errno": errno, "count": count}


def written(path: Path, tables: tuple[TableSchema, ...], *measurements: list[dict[str, Any]]) -> RunReader:
    with RunWriter.create(path, META, tables) as writer:
        for rep, rows in enumerate(measurements, start=1):
            writer.add(CELL, rep, True, {"errnos": rows})
    return RunReader.open(path)


def test_failures_are_summed_and_the_most_frequent_comes_first(tmp_path: Path) -> None:
    rows = [failed("writev", "EINVAL", 2), failed("writev", "EINVAL", 3, tid=2), failed("read", "EAGAIN", 90)]
    run = written(tmp_path / "run", COLUMNS, rows, [failed("writev", "EINVAL", 4)])
    found = [(row["name"], row["errno"], row["n"], row["count"]) for row in Answers(run).ask("errnos")]
    assert found == [("read", "EAGAIN", 1, 90), ("writev", "EINVAL", 2, 9)]
    (section,) = (section for section in build(run).sections if section.name == "errnos")
    assert section.title == "Which system calls failed, and with which errno?"
    assert ("virtio-net-pci", "tap", "live", "writev", "tap", "EINVAL", "2", "9") in section.tables[0].rows


def test_a_run_without_the_table_has_no_answer(tmp_path: Path) -> None:
    assert Answers(written(tmp_path / "run", ())).ask("errnos") == ()


def test_a_damaged_table_is_left_out_of_the_report_and_named(tmp_path: Path) -> None:
    run = written(tmp_path / "run", COLUMNS, [failed("read", "EIO", 1)])
    (file,) = (run.path / "data" / "errnos").rglob("*.parquet")
    file.write_bytes(file.read_bytes()[:50])
    document = build(run)
    assert "errnos" not in [section.name for section in document.sections]
    assert any("Damaged" in alert and file.name in alert for alert in document.alerts)


@pytest.mark.parametrize(
    ("columns", "row", "said"),
    [
        ({"name": pa.string()}, {"name": "writev"}, "no column 'fd' of text"),
        (
            dict.fromkeys(("name", "fd", "errno", "count"), pa.string()),
            {"name": "writev", "fd": "tap", "errno": "EIO", "count": "many"},
            "no column 'count' of whole numbers",
        ),
    ],
)
def test_a_table_of_that_name_with_other_columns_is_refused(
    tmp_path: Path, columns: dict[str, pa.DataType], row: dict[str, str], said: str
) -> None:
    own = TableSchema("errnos", "Another.", tuple(Column(name, kind, "") for name, kind in columns.items()))
    with pytest.raises(StoreError, match=said):
        Answers(written(tmp_path / "run", (own,), [row])).ask("errnos")
