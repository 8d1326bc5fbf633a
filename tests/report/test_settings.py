"""Cells of different settings are different traffic in a report: ranked apart, named in every table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from made_up import fill

from qtrace.model import Cell, Direction, Setting
from qtrace.report.answers import Answers
from qtrace.report.render import build
from qtrace.report.sections import latency, throughput
from qtrace.store.run import RunReader, RunWriter

WAYS = ((Direction.TX, "tcp"), (None, "rr"))


def written(folder: Path) -> RunReader:
    """tap and user, each as they come and with a large MTU (rows made up)."""
    head = {"venue": "host", "conditions": {}, "paths": [], "plan": {}}
    with RunWriter.create(folder, head) as writer:
        for setting in (Setting(), Setting(mtu=9000)):
            for netdev in ("tap", "user"):
                for direction, workload in WAYS:
                    cell = Cell("e1000", netdev, "qemu", direction, workload)
                    for rep in (1, 2, 3):
                        fill(writer, replace(cell, setting=setting), rep, False)
    return RunReader.open(folder)


def test_settings_are_ranked_apart_and_named(tmp_path: Path) -> None:
    run = written(tmp_path / "run")
    answers = Answers(run)
    heads = [line.partition(":")[0] for part in (throughput, latency) for line in part.headline(answers)]
    assert heads == [
        "e1000, tx, guest to host",
        "e1000, tcp mtu-9000, tx, guest to host",
        "e1000, median round trip",
        "e1000, median round trip of rr mtu-9000",
    ]
    rows = throughput.write(answers).tables[0].rows
    named = sorted((str(row[1]), "mtu-9000" in str(row[2])) for row in rows)
    assert named == [("tap", False), ("tap", True), ("user", False), ("user", True)]
    names = sorted(str(row[1]) for row in latency.write(answers).tables[0].rows)
    assert names == ["tap", "tap, rr mtu-9000", "user", "user, rr mtu-9000"]
    # Each is compared with the baseline of its own setting.
    assert {(row["netdev"], row["ratio_n"]) for row in answers.ask("throughput")} == {("tap", 3), ("user", 3)}
    assert build(run)
