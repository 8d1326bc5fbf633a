"""The report says what A/A showed and what was unsteady or not reached (rows are made up)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qtrace.cli._console import ConsoleProgress
from qtrace.cli.bench import tell_steadiness
from qtrace.report.answers import Answers
from qtrace.report.render import build
from qtrace.report.sections.steadiness import same_thing_twice, unsteady
from qtrace.store.run import RunReader, RunWriter
from qtrace.store.run_merge import merge_runs

TAP, USER = "e1000+tap+qemu+tx+tcp", "e1000+user+qemu+tx+tcp"
HOSTILE = "<script>\x1b[31m"
KNOWN = {
    "cell": USER,
    "metric": "throughput",
    "n": 6,
    "ratio": 0.07,
    "half_width": 0.94,
    "seconds": 12.0,
    "reached": False,
    "reason": "its 9 s are up",
}


def made(folder: Path, again: float = 1.01, **meta: Any) -> RunReader:
    """The baseline is 1 % faster under its second name; user has one value of a tenth."""
    head = {"venue": "host", "conditions": {}, "paths": [], "plan": {"precision": 0.1, "at_most": 9.0}}
    with RunWriter.create(folder, head | meta) as writer:
        for rep in range(1, 7):
            for number, (cell, speed) in enumerate(((TAP, 1e9), (f"{TAP}+again", again * 1e9), (USER, 1e8))):
                value = speed * (1 + rep % 3 / 1000) * (0.1 if cell == USER and rep == 4 else 1)
                row = {"metric": "throughput", "value": value, "unit": "bit/s", "status": "ok"}
                row |= {"started": 1e9 + 10 * rep + number, "seconds": 2.0, "workload": "tcp"}
                writer.add(cell, rep, False, {"results": [row]})
        writer.add(f"{TAP}+again", 7, False, {"results": [{"metric": "none", "unit": "", "status": "failed",
                                                           "reason": "it died"}]})  # fmt: skip
    return RunReader.open(folder)


def test_a_a_drift_and_what_was_not_reached_are_told(tmp_path: Path) -> None:
    run = made(tmp_path / "run", precision=[KNOWN, KNOWN | {"reached": True, "reason": ""}])
    answers = Answers(run)
    assert [*same_thing_twice(answers)] == [
        "A/A, tap measured twice: 0 different, 1 same within 2 %; the furthest is 1.01 ×."
    ]
    outlier, wide = unsteady(answers)
    assert outlier == (
        "Outlier, kept: throughput, e1000 on user, tcp tx, guest to host, repetition 4: 0.100 × what its "
        "other 5 show."
    )
    assert wide == (
        "Not known within 10 %: e1000 on user, tcp tx, throughput of tap: 0.0700 ×, ± 94.0 % (n = 6); its 9 "
        "s are up."
    )
    document = build(run)
    assert {outlier, wide} <= {*document.alerts} and any("A/A" in line for line in document.headline)
    assert any("e1000 on tap" in line and "it died" in line for line in document.alerts)
    (section,) = (section for section in document.sections if section.name == "steadiness")
    twice, steady, precision = section.tables
    assert [row[-1] for row in twice.rows] == ["same"]
    assert ("outlier", "e1000 on user, tcp tx, guest to host", "throughput") in [
        row[:3] for row in steady.rows
    ]
    assert [row[-1] for row in precision.rows] == ["no: its 9 s are up", "yes"]
    assert document.subtitle.endswith("6 repetitions.")


def test_what_a_run_says_of_its_precision_is_only_text(tmp_path: Path) -> None:
    known: dict[str, Any] = {"cell": HOSTILE, "metric": HOSTILE, "n": HOSTILE, "ratio": "x", "half_width": []}
    run = made(tmp_path / "run", precision=[known | {"reason": HOSTILE}, {}])
    lines = [*unsteady(Answers(run))]
    assert len(lines) == 3 and not any("\x1b" in line for line in lines)
    assert build(run).sections


def test_a_run_without_any_of_it_says_nothing(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path / "run", {"venue": "host", "conditions": {}, "paths": []}) as writer:
        row = {"metric": "throughput", "value": 1.0, "unit": "bit/s", "status": "ok"}
        writer.add(TAP, 1, False, {"results": [row]})
    answers = Answers(RunReader.open(tmp_path / "run"))
    assert not [*same_thing_twice(answers), *unsteady(answers)]
    assert not any(section.name == "steadiness" for section in build(answers.run).sections)


def test_bench_says_it_on_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = {"cell": USER, "metric": "throughput", "n": 6, "ratio": 0.07, "half_width": 0.94}
    run = made(tmp_path / "run", precision=[known | {"reached": False, "reason": "its 9 s are up"}])
    tell_steadiness(run.path, ConsoleProgress())
    said = capsys.readouterr().err.splitlines()
    assert [line[:2] for line in said] == ["!!", "!!", "ok"]
    assert "Outlier, kept" in said[0] and "Not known within 10 %" in said[1] and "A/A, tap" in said[2]


def test_a_merged_run_has_the_a_a_of_every_machine(tmp_path: Path) -> None:
    plan = {"name": "x", "cells": [], "blocks": ["e1000+tx+tcp"]}
    run = merge_runs([made(tmp_path / "a", plan=plan, qtrace="0")], tmp_path / "run", [])
    assert (
        [*same_thing_twice(Answers(run))]
        == [*same_thing_twice(Answers(RunReader.open(tmp_path / "a")))]
        != []
    )


def test_an_a_a_that_differs_comes_before_any_number(tmp_path: Path) -> None:
    (said,) = (line for line in build(made(tmp_path / "run", again=1.1)).alerts if line.startswith("A/A"))
    assert "throughput, e1000 on tap, tcp tx, guest to host: nothing was changed" in said
    assert "the second is 1.10 × the first" in said and "trust no smaller difference" in said


@pytest.mark.parametrize(
    ("half_width", "said"), [(0.94, "94.0 %"), (0.102, "10.2 %"), (0.10004, "10.004 %"), (None, "–")]
)
def test_what_is_not_within_the_aim_is_not_said_to_be_the_aim(
    tmp_path: Path, half_width: float | None, said: str
) -> None:
    known = KNOWN | {"half_width": half_width}
    (_, wide) = unsteady(Answers(made(tmp_path / "run", precision=[known])))
    assert f", ± {said} (n = 6)" in wide
