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
        "e1000, tx, guest to host, mtu-9000",
        "e1000, median round trip",
        "e1000, median round trip, mtu-9000",
    ]
    for part in (throughput, latency):
        names = [row[1] for row in part.write(answers).tables[0].rows]
        assert sorted(map(str, names)) == ["tap", "tap, mtu-9000", "user", "user, mtu-9000"]
    # Each is compared with the baseline of its own setting.
    assert {(row["netdev"], row["ratio_n"]) for row in answers.ask("throughput")} == {("tap", 3), ("user", 3)}
    assert build(run)
