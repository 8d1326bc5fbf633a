"""The run format: what is written is read back, and what is damaged is named, not believed."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtrace.errors import StoreError
from qtrace.store.run import RunReader, RunWriter, close_dead
from qtrace.store.run_schema import SCHEMAS

META = {
    "venue": "host",
    "venue_reason": "",
    "conditions": {"QEMU": "0"},
    "plan": {},
    "paths": [],
    "command": [],
}
CELL = "e1000+tap+qemu+tx+tcp"
LEDGER = {"kind": "lost", "item": "edges", "count": 3, "note": "a note"}


def written(path: Path, repetitions: int = 2) -> Path:
    with RunWriter.create(path, META) as writer:
        for rep in range(1, repetitions + 1):
            writer.add(CELL, rep, True, {"ledger": [LEDGER]}, {"iperf3": {"end": {"sum": rep}}})
    return path


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    run = RunReader.open(written(tmp_path / "run"))
    assert run.meta["status"] == "complete" and run.meta["id"] == "run" and run.meta["finished"]
    rows = run.table("ledger").to_pylist()
    assert rows == [{"cell": CELL, "rep": rep, "probed": True, **LEDGER} for rep in (1, 2)]
    assert run.table("edges").num_rows == 0 and not run.damaged
    raw = tmp_path / "run" / "raw" / f"{CELL}.1.probed" / "iperf3.json"
    assert json.loads(raw.read_text()) == {"end": {"sum": 1}}
    assert not list((tmp_path / "run").rglob(".*")), "a file was left beside"


def test_a_run_whose_writer_died_is_closed_and_another_is_left_alone(tmp_path: Path) -> None:
    dead, whole = tmp_path / "dead", written(tmp_path / "whole")
    RunWriter.create(dead, META)
    for path in (dead, whole, tmp_path / "never-begun"):
        close_dead(path)
    assert RunReader.open(dead).meta["status"] == "interrupted" and RunReader.open(dead).meta["finished"]
    assert RunReader.open(whole).meta["status"] == "complete"


def text() -> st.SearchStrategy[str]:
    return st.text(st.characters(codec="utf-8"), max_size=20)


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.builds(
    lambda kind, item, count: {"kind": kind, "item": item, "count": count, "note": None},
    text(), text(), st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=5))  # fmt: skip
def test_any_rows_survive(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]) -> None:
    path = tmp_path_factory.mktemp("run")
    with RunWriter.create(path, META) as writer:
        writer.add(CELL, 1, False, {"ledger": rows})
    read = RunReader.open(path).table("ledger").to_pylist()
    assert [{key: row[key] for key in ("kind", "item", "count", "note")} for row in read] == rows


def test_every_table_has_the_key_and_is_readable_when_empty(tmp_path: Path) -> None:
    run = RunReader.open(written(tmp_path / "run"))
    for name, schema in SCHEMAS.items():
        assert schema.names[:3] == ["cell", "rep", "probed"]
        assert run.table(name).schema == schema


def test_pandas_reads_a_table_as_one_dataset(tmp_path: Path) -> None:
    frame = pq.read_table(written(tmp_path / "run") / "data" / "ledger", partitioning=None).to_pandas()
    assert list(frame["rep"]) == [1, 2]


def test_an_interrupted_run_is_readable(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), RunWriter.create(tmp_path / "run", META) as writer:
        writer.add(CELL, 1, True, {"ledger": [LEDGER]})
        raise KeyboardInterrupt
    run = RunReader.open(tmp_path / "run")
    assert run.meta["status"] == "interrupted" and run.table("ledger").num_rows == 1


def test_a_run_whose_writer_was_killed_is_readable(tmp_path: Path) -> None:
    writer = RunWriter.create(tmp_path / "run", META)
    writer.add(CELL, 1, True, {"ledger": [LEDGER]})  # and never finished
    run = RunReader.open(tmp_path / "run")
    assert run.meta["status"] == "running" and run.table("ledger").num_rows == 1


@pytest.mark.parametrize("keep", [0, 3, 100, 0.5])
def test_a_truncated_file_is_named_and_the_rest_is_read(tmp_path: Path, keep: float) -> None:
    path = written(tmp_path / "run")
    file = path / "data" / "ledger" / f"cell={CELL}" / f"{CELL}.1.probed.parquet"
    content = file.read_bytes()
    file.write_bytes(content[: int(keep if keep >= 1 or not keep else keep * len(content))])
    run = RunReader.open(path)
    assert run.table("ledger").column("rep").to_pylist() == [2]
    assert len(run.damaged) == 1 and file.name in run.damaged[0]
    run.table("ledger")
    assert len(run.damaged) == 1, "named once"


def test_a_file_with_other_columns_is_damaged(tmp_path: Path) -> None:
    path = written(tmp_path / "run")
    file = path / "data" / "ledger" / f"cell={CELL}" / f"{CELL}.1.probed.parquet"
    pq.write_table(pa.table({"cell": ["x"]}), file)
    run = RunReader.open(path)
    assert run.table("ledger").num_rows == 1 and len(run.damaged) == 1


def test_a_table_outside_the_run_is_not_read(tmp_path: Path) -> None:
    outside, path = written(tmp_path / "outside"), written(tmp_path / "run")
    (path / "data" / "ledger" / "cell=other").symlink_to(outside / "data" / "ledger" / f"cell={CELL}")
    run = RunReader.open(path)
    assert run.table("ledger").num_rows == 2
    assert len(run.damaged) == 2 and "leads out" in run.damaged[0]


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a\0b", "a b"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    writer = RunWriter.create(tmp_path / "run", META)
    with pytest.raises(StoreError):
        writer.add(name, 1, True, {"ledger": [LEDGER]})
    with pytest.raises(StoreError):
        writer.add(CELL, 1, True, {}, {name: {}})


def test_an_unknown_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="colour"):
        RunWriter.create(tmp_path / "run", META).add(CELL, 1, True, {"ledger": [{"colour": "red"}]})


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "run")
    with pytest.raises(StoreError, match="not empty"):
        RunWriter.create(tmp_path / "run", META)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "damaged"),
        ("{", "damaged"),
        ("[" * 100_000, "damaged"),
        ("[]", "format"),
        ('{"format": 3}', "format 3 is newer than this qtrace"),
        ('{"format": 0}', "format 0 is not known"),
        ('{"format": true}', "format True is not known"),
        ('{"format": 1, "id": "x", "status": "complete"}', "venue"),
        (json.dumps({"format": 1, "id": "x", "status": "ok", **META, "paths": {}}), "paths"),
    ],
)
def test_metadata_that_cannot_be_meant(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(StoreError, match=said):
        RunReader.open(tmp_path)


def test_no_run_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        RunReader.open(tmp_path / "nothing")
    assert caught.value.hint


@pytest.mark.parametrize(
    "part",
    [
        {"blocks": "all"},
        {"hosts": {}},
        {"hosts": [{"blocks": []}]},
        {"hosts": [{"blocks": [], "conditions": "none"}]},
        {"hosts": ["one"]},
    ],
)
def test_what_a_merged_run_says_of_its_machines_is_checked(part: dict[str, object], tmp_path: Path) -> None:
    path = written(tmp_path / "run")
    meta = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps(meta | part))
    with pytest.raises(StoreError, match=f"'{next(iter(part))}' is not a list"):
        RunReader.open(path)
