"""What a run measured stands beside the steps of the walk that it is of, and nowhere else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from qtrace.cli.walk import command
from qtrace.errors import StoreError
from qtrace.model import Direction, Role
from qtrace.report.formats.markdown import to_markdown
from qtrace.report.measured import measured
from qtrace.report.render import build
from qtrace.report.walk_formats import walk_formats
from qtrace.store.index import Index
from qtrace.store.run import RunReader, RunWriter
from tests.report.made_up import FRAMES, make_run, way

REPETITIONS = 3


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("measured") / "run", REPETITIONS)


def test_every_stage_has_its_own_figures(run: Path) -> None:
    path = way("virtio-net-pci", "tap", "qemu", Direction.TX)
    found = measured(RunReader.open(run), path)
    assert (found.traffic, found.repetitions, found.frames) == ("tcp tx", REPETITIONS, REPETITIONS * FRAMES)
    assert found.others == ("rr",)
    for number, step in enumerate(path.stages):
        lines = found.at(step)
        if step.stage in (Role.KICK, Role.INTERRUPT):
            assert lines[0].startswith(f"{REPETITIONS * FRAMES:,} times, 1.00 for each frame")
        else:
            assert lines[0].startswith(f"{REPETITIONS * FRAMES:,} frames in {REPETITIONS * FRAMES:,} calls")
        if number < len(path.stages) - 1:
            assert lines[1].startswith(f"to {path.stages[number + 1].stage}: p50 ")
    between = next(step for step in path.steps if not step.stage)
    assert found.at(between) == []


def test_a_stage_of_another_function_is_not_mistaken(run: Path) -> None:
    path = way("virtio-net-pci", "tap", "qemu", Direction.TX)
    other = replace(path.stages[1], function="somebody_else")
    assert measured(RunReader.open(run), path).at(other) == ["not measured in this run"]


def test_the_workload_is_chosen_by_name(run: Path) -> None:
    path = way("e1000", "user", "qemu", Direction.RX)
    reader = RunReader.open(run)
    assert measured(reader, path).traffic == "tcp rx"
    assert measured(reader, path, "rr").traffic == "rr"
    with pytest.raises(StoreError, match="no workload 'udp'") as caught:
        measured(reader, path, "udp")
    assert "tcp rx" in str(caught.value.hint)


def test_a_path_that_was_not_measured_is_said_with_what_was(run: Path) -> None:
    with pytest.raises(StoreError, match="nothing of rtl8139 on tap, tx") as caught:
        measured(RunReader.open(run), way("rtl8139", "tap", "qemu", Direction.TX))
    assert "virtio-net-pci on tap + vhost" in str(caught.value.hint)


def test_the_system_calls_are_for_each_frame(run: Path) -> None:
    found = measured(RunReader.open(run), way("virtio-net-pci", "tap", "qemu", Direction.TX))
    calls = {(name, what): made for name, what, made, _ in found.system_calls}
    assert calls["writev", "tap"] == REPETITIONS * (FRAMES // 2)
    assert "0.500 writev (tap)" in found.tail()[0]


@pytest.mark.parametrize("form", walk_formats())
def test_every_format_shows_a_run(run: Path, index: Index, form: str) -> None:
    arguments = ["virtio-net-pci", "tap", "--direction", "tx", "--run", str(run), "--format", form]
    said = CliRunner().invoke(command, [*arguments, "--index", str(index.path)], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    if form == "json":
        answer = json.loads(said.stdout)["measured"]
        assert {item["stage"] for item in answer["stages"]} >= {"kick", "send", "deliver", "host"}
    else:  # the functions of the made-up run are not QEMU's
        assert "not measured in this run" in said.stdout


def test_a_run_goes_with_a_path_only(run: Path) -> None:
    said = CliRunner().invoke(command, ["--from", "a", "--to", "b", "--run", str(run)])
    assert said.exit_code == 2


def test_what_was_missed_or_is_shared_comes_first(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", 1)
    head = measured(RunReader.open(folder), way("e1000", "tap", "qemu", Direction.TX)).head()
    assert not any("NOT EXACT" in line for line in head)
    ledger = [{"kind": "missed", "item": "on_function", "count": 7, "note": "hit while it ran"}]
    writer = RunWriter(folder, RunReader.open(folder).meta)
    writer.add("e1000+tap+qemu+tx+tcp", 2, True, {"ledger": ledger})
    head = measured(RunReader.open(folder), way("e1000", "tap", "qemu", Direction.TX)).head()
    assert head[1] == "NOT EXACT: missed: on_function: 7"


def test_frames_from_end_to_end_and_the_cpu_are_below_the_path(run: Path) -> None:
    path = way("virtio-net-pci", "tap", "qemu", Direction.TX)
    _, whole, waited, stopped, cpu = measured(RunReader.open(run), path).tail()
    frames = f"{REPETITIONS * (FRAMES - 3):,} of {REPETITIONS * FRAMES:,} frames followed"
    frames += " (3 ambiguous, 6 unmatched)"
    assert whole.startswith("first stage to last (dequeue to complete): p50 ") and whole.endswith(frames)
    assert waited.startswith("waited between dequeue and complete: 3 frames, p50 ")
    assert stopped == "stopped at dequeue (tap_dequeue_tx): 6 frames: the link is down: dropped"
    shares = "unknown in qemu-system-x86_64 60 %, [kernel] 30 %, tap_send 10 %"
    assert cpu == f"CPU time of the whole QEMU, 300 samples: {shares}"


def test_what_was_counted_inside_is_below_the_path_and_in_the_report(tmp_path: Path) -> None:
    path = way("e1000", "user", "qemu", Direction.RX)
    folder = make_run(tmp_path / "run", 1)
    cell = "e1000+user+qemu+rx+tcp"
    place = {"attached": True, "note": "", "line": 43}
    copied = {"netdev_id": "net0", "queue": 0, "direction": "rx", "frames": 10, "frame_bytes": 1000} | place
    none = {"calls": 0, "bytes": 0, "attached": False, "note": "not found"}
    again = {"netdev_id": "net0", "function": "tcp_output", "file": "libslirp/src/tcp_output.c"} | place
    tables = {
        "copies": [
            copied | {"function": "iov_to_buf_full", "file": "util/iov.c", "calls": 10, "bytes": 1500},
            copied | {"function": "address_space_rw", "file": ""} | none,
        ],
        "retransmissions": [
            again | {"kind": kind, "count": count} for kind, count in (("timeout", 2), ("fast", 0))
        ],
    }
    RunWriter(folder, RunReader.open(folder).meta).add(cell, 1, True, tables)
    run = RunReader.open(folder)
    said = measured(run, path).tail()
    assert "copied by functions that can be counted: 1.50 kB, 1.50 for each byte of 10 frames" in said
    assert "copied by iov_to_buf_full (util/iov.c:43): 1.50 kB in 10 calls, 150 a frame" in said
    assert "copies not measured: not found" in said
    assert "retransmissions of libslirp's TCP: 2 timeout, 0 fast" in said
    page = to_markdown(build(run))
    assert "| e1000 | user | rx | 10 | 1.00 kB | 1.50 kB | 1.50 |" in page
    assert "| e1000 | user | rx | `iov_to_buf_full` | util/iov.c:43 | 10 | 1.50 kB | 150 |" in page
    assert "| e1000 | user | rx | `address_space_rw` | – | – | – | – | not found |" in page
    assert "| timeout | `tcp_output (libslirp/src/tcp_output.c:43)` | 2 |" in page
