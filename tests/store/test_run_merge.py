"""Blocks that several machines measured become one run, or none (rows are made up)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from qtrace.cli.main import command
from qtrace.errors import StoreError
from qtrace.report.answers import Answers
from qtrace.report.render import build
from qtrace.store.run import RunReader, RunWriter
from qtrace.store.run_merge import merge_runs

BLOCKS = ["e1000+tx+tcp", "e1000+rx+tcp", "virtio-net-pci+tx+tcp"]
PLAN: dict[str, Any] = {"name": "x", "cells": [], "blocks": BLOCKS}


def part(
    path: Path, *numbers: int, cpu: str = "A", status: str = "complete", blocks: bool = True, **more: Any
) -> RunReader:
    """A run of these blocks, with tap and user in each."""
    meta = {"qtrace": "0", "command": [], "venue": "host", "plan": PLAN, "paths": [{"way": cpu}]}
    meta |= {"conditions": {"date": str(path), "CPU": cpu, "QEMU": "7.2.22"}}
    if blocks:
        meta["blocks"] = [BLOCKS[number] for number in numbers]
    with RunWriter.create(path, {**meta, **more}) as writer:
        for number in numbers:
            nic, way, workload = BLOCKS[number].split("+")
            for netdev, value in (("tap", 4.0), ("user", 1.0 + number)):
                cell = "+".join((nic, netdev, "qemu", way, workload))
                row = {"metric": "throughput", "value": value, "unit": "bit/s", "status": "ok"}
                for rep in (1, 2):
                    writer.add(cell, rep, False, {"results": [row]}, {"iperf3": {"rep": rep}})
        writer.finish(status)
    return RunReader.open(path)


def test_every_measurement_is_there_and_each_machine_s_conditions(tmp_path: Path) -> None:
    parts = [part(tmp_path / "a", 0), part(tmp_path / "b", 2, cpu="B"), part(tmp_path / "c", 1)]
    (tmp_path / "a/data/results" / f"cell={BLOCKS[0]}").mkdir()
    (tmp_path / "a/data/results" / f"cell={BLOCKS[0]}" / ".half.parquet").write_bytes(b"half")
    run = merge_runs(parts, tmp_path / "run", ["merge"])
    assert run.meta["status"] == "complete" and run.meta["plan"] == PLAN and run.meta["command"] == ["merge"]
    assert run.meta["conditions"] == {"QEMU": "7.2.22"}
    assert [(host["blocks"], host["conditions"]["CPU"]) for host in run.meta["hosts"]] == [
        ([BLOCKS[0], BLOCKS[1]], "A"),
        ([BLOCKS[2]], "B"),
    ]
    assert run.meta["paths"] == [{"way": "A"}, {"way": "B"}]
    rows = run.table("results").to_pylist()
    assert len(rows) == 3 * 2 * 2 and not run.damaged
    assert sorted(row["value"] for row in rows) == sorted([4.0] * 6 + [1.0, 1.0, 2.0, 2.0, 3.0, 3.0])
    assert len(list((tmp_path / "run" / "raw").rglob("iperf3.json"))) == 12
    assert not list((tmp_path / "run").rglob(".*"))


def test_two_qemus_of_one_machine_are_one_machine(tmp_path: Path) -> None:
    """Each block says only what it knows: its own QEMU, and what that lacks."""
    one = {"conditions": {"CPU": "A", "QEMU 7.2": "7.2.22", "cells left out": "1 of 3: 1 because no igb"}}
    two = {"conditions": {"CPU": "A", "QEMU 10.0": "10.0.13"}}
    plan = PLAN | {"cells": ["a", "b", "c"]}
    gone = [{"cell": "igb", "reason": "no igb"}]
    parts = [
        part(tmp_path / "a", 0, 1, plan=plan, left_out=gone, **one),
        part(tmp_path / "b", 2, plan=plan, **two),
    ]
    (host,) = merge_runs(parts, tmp_path / "run", []).meta["hosts"]
    assert host["blocks"] == BLOCKS
    assert host["conditions"] == one["conditions"] | two["conditions"]
    for text in ("7.2.21", "7.2.22"):  # another build of the same release is another machine
        three = {"conditions": {"CPU": "A", "QEMU 7.2": text}}
        parts = [
            part(tmp_path / f"c{text}", 0, 1, plan=plan, **one),
            part(tmp_path / f"d{text}", 2, plan=plan, **three),
        ]
        run = merge_runs(parts, tmp_path / f"run{text}", [])
        assert len(run.meta["hosts"]) == (1 if text == "7.2.22" else 2)


def test_ratios_of_the_merged_run_are_those_of_the_parts(tmp_path: Path) -> None:
    parts = [part(tmp_path / name, number, paths=[]) for number, name in enumerate("abc")]
    run = merge_runs(parts, tmp_path / "run", [])
    found = {
        (row["nic"], row["way"]): row["ratio"]
        for row in Answers(run).ask("throughput")
        if row["netdev"] == "user"
    }
    assert found == pytest.approx(
        {("e1000", "tx"): 0.25, ("e1000", "rx"): 0.5, ("virtio-net-pci", "tx"): 0.75}
    )


def test_the_report_has_a_column_for_each_machine(tmp_path: Path) -> None:
    parts = [part(tmp_path / "a", 0, 1, paths=[]), part(tmp_path / "b", 2, cpu="B", paths=[])]
    run = merge_runs(parts, tmp_path / "run", [])
    (section,) = (section for section in build(run).sections if section.name == "conditions")
    (_, machines) = section.tables
    assert [column.title for column in machines.columns] == ["condition", "machine 1", "machine 2"]
    assert ("CPU", "A", "B") in machines.rows and (
        "blocks",
        ", ".join(BLOCKS[:2]),
        BLOCKS[2],
    ) in machines.rows


def test_what_was_reached_is_that_of_every_machine(tmp_path: Path) -> None:
    known = [{"cell": f"c{number}", "metric": "throughput", "reached": bool(number)} for number in (0, 1)]
    parts = [
        part(tmp_path / "a", 0, 1, precision=known[:1]),
        part(tmp_path / "b", 2, cpu="B", precision=known[1:]),
    ]
    assert merge_runs(parts, tmp_path / "run", []).meta["precision"] == known
    assert "precision" not in merge_runs([part(tmp_path / "c", 0, 1, 2)], tmp_path / "one", []).meta


def test_a_report_says_where_its_run_was_interrupted(tmp_path: Path) -> None:
    parts = [part(tmp_path / "a", 0, 1, paths=[], resumed=[2, 1300]), part(tmp_path / "b", 2, paths=[])]
    run = merge_runs(parts, tmp_path / "run", [])
    (section,) = (section for section in build(run).sections if section.name == "conditions")
    assert ("interrupted and gone on with", "after 2, 1,300 measurements") in section.tables[0].rows
    (section,) = (section for section in build(parts[1]).sections if section.name == "conditions")
    assert not any("gone on with" in row[0] for row in section.tables[0].rows)


@pytest.mark.parametrize("resumed", ["2", ["2"], [None], {"2": 2}])
def test_a_run_from_outside_that_says_nonsense_of_it_is_refused(tmp_path: Path, resumed: object) -> None:
    with pytest.raises(StoreError, match="'resumed' is not a list of numbers of measurements"):
        part(tmp_path / "a", 0, resumed=resumed)


def test_a_failed_cell_is_not_hidden(tmp_path: Path) -> None:
    parts = [part(tmp_path / "a", 0, 1), part(tmp_path / "b", 2, status="partial")]
    assert merge_runs(parts, tmp_path / "run", []).meta["status"] == "partial"


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({"numbers": (1,)}, "1 of 3 blocks were not measured: virtio-net-pci"),
        ({"numbers": (0, 1, 2)}, r"block e1000\+tx\+tcp was measured 2 times"),
        ({"numbers": (1, 2), "status": "interrupted"}, "not measured to its end"),
        ({"numbers": (1, 2), "plan": {**PLAN, "seed": 2}}, "runs of different plans"),
        ({"numbers": (1, 2), "venue": "vm"}, "different venues: host and vm"),
        ({"numbers": (1, 2), "blocks": False, "plan": {}}, "does not say which blocks"),
        ({"numbers": (1, 2), "plan": {"name": "x"}}, "does not say which blocks"),
        ({"numbers": (), "format": 1}, "only format 2 is merged"),
    ],
)
def test_what_does_not_fit_together_is_refused_before_anything_is_written(
    second: dict[str, Any], said: str, tmp_path: Path
) -> None:
    numbers = second.pop("numbers")
    parts = [part(tmp_path / "a", 0), part(tmp_path / "b", *numbers, **second)]
    with pytest.raises(StoreError, match=said):
        merge_runs(parts, tmp_path / "run", [])
    assert not (tmp_path / "run").exists()


def test_the_verb(tmp_path: Path) -> None:
    parts = [part(tmp_path / "a", 0, 1), part(tmp_path / "b", 2, cpu="B")]
    words = [str(run.path) for run in parts]
    said = CliRunner().invoke(command, ["merge", *words, "-o", str(tmp_path / "run")])
    assert said.exit_code == 0 and said.stdout == f"{tmp_path}/run: 2 runs of 2 machines, complete\n"
