"""The analyses answer in sentences that their rows choose; every sentence can be written."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from qtrace.analyses.methods.registry import analyses
from qtrace.cli.analyses import command as analyses_verb
from qtrace.cli.report import command as report_verb
from qtrace.report.answers import Answers
from qtrace.report.sentences import sentences, written
from qtrace.store.run import RunReader

RUNS = Path(__file__).parents[1] / "store" / "runs"
STORED = ("format-1/recorded", "format-1/measured", "format-2/measured", "format-2/compared")
CELL = {"nic": "virtio-net-pci", "netdev": "tap", "datapath": "vhost-net", "way": "tx", "workload": "tcp"}
# What a value of each format may be.
VALUES = {"cell": CELL, "ends": (0.5, 0.6), "": "a text"}


def said(name: str, *rows: dict[str, Any]) -> list[str]:
    """What an analysis says of these rows (made up)."""
    one = analyses()[name]
    return [written(one.says[key], values) for key, values in one.say([CELL | row for row in rows])]


def test_every_analysis_speaks_and_every_sentence_can_be_written() -> None:
    for one in analyses().values():
        assert one.says, one.name
        for key, template in one.says.items():
            places = string.Formatter().parse(template)
            values = {name: VALUES.get(form or "", 1.5) for _, name, form, _ in places if name}
            line = written(template, values)
            assert line.endswith(".") and "{" not in line, (one.name, key)


@pytest.mark.parametrize("run", STORED)
def test_old_and_new_runs_are_answered_in_sentences(run: str) -> None:
    answers = Answers(RunReader.open(RUNS / run))
    for name in analyses():
        for line in sentences(answers, name):
            assert "–" not in line and "None" not in line and "nan" not in line, (name, line)
    assert sentences(answers, "ledger")


def test_the_rows_choose_the_sentence() -> None:
    assert said("retransmissions") == []
    row = {"kind": "timeout", "function": "f", "attached": True, "count": 0}
    assert said("retransmissions", row) == ["libslirp retransmitted nothing."]
    assert said("retransmissions", row | {"attached": False}) == []
    assert "3 times, most often by timeout" in said("retransmissions", row | {"count": 3})[0]
    frames = {"direction": "tx", "frames": 1009, "difference": 0}
    assert "so did the devices" in said("reconciliation", frames)[0]
    assert "differ in 1 of 2 rows" in said("reconciliation", frames, frames | {"difference": -2})[0]
    carried = {"direction": "tx", "as_planned": True, "carried_by": "kernel"}
    assert said("vhost_proof", carried) == ["In each of 1 rows the frames were carried as planned."]
    wrong = said("vhost_proof", carried, carried | {"as_planned": False, "carried_by": "both"})
    where = "first on virtio-net-pci on tap + vhost: by both."
    assert wrong == [f"In 1 of 2 rows the frames were not carried as planned, {where}"]
    assert "not known" in said("vhost_proof", carried | {"as_planned": None})[0]
    assert said("ledger") == ["Nothing was lost, and nothing failed."]
    assert said("ledger", {"kind": "lost", "count": 7, "cells": "x"})[0].startswith("Events lost: 7;")


def test_nearly_all_is_not_all() -> None:
    row = {"direction": "tx", "frames": 10_000, "matched": 9_999, "p50_ns": None}
    assert said("frame_latency", row) == ["> 99.9 % of 10,000 frames were followed from end to end."]
    assert said("frame_latency", row | {"matched": 10_000})[0].startswith("100 % of")


def test_a_name_of_a_guest_is_text() -> None:
    row = {"nic": "{cell.__class__}\x1b[31m", "kind": "timeout", "attached": True, "count": 3}
    (line,) = said("retransmissions", row)
    assert "{cell.__class__} [31m on tap + vhost" in line


def test_the_verbs() -> None:
    run = str(RUNS / "format-2" / "compared")
    told = CliRunner().invoke(analyses_verb, [run])
    assert told.exit_code == 0
    assert "vhost_proof: Does the kernel carry" in told.stdout and "errnos: Which" in told.stdout
    assert "  In each of 18 rows the frames were carried as planned." in told.stdout
    one = CliRunner().invoke(analyses_verb, [run, "--only", "throughput"])
    assert len(one.stdout.splitlines()) == 1 + 2 + 11 and "674,830,079" in one.stdout
    assert CliRunner().invoke(analyses_verb, ["--only", "throughput"]).exit_code == 2
    assert "there is no analysis" in CliRunner().invoke(analyses_verb, [run, "--only", "x"]).stderr
    page = CliRunner().invoke(report_verb, [run, "--format", "text"])
    assert page.exit_code == 0 and "\nWhy:\n- virtio-net-pci, tx" in page.stdout
    assert "System calls, kicks and interrupts:\n  A system call carries" in page.stdout
