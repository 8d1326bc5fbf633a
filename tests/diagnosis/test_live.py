"""`qtrace why PID` on live guests: a part of `make why`, short enough for every day."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bed import Bed, open_bed
from fault import TAP
from faults import FAULTS
from passing import chat
from tried import named, try_fault

from qtrace.diagnosis.cause import diagnose
from qtrace.model import Direction
from qtrace.store.index import Index

pytestmark = pytest.mark.needs("root", "bcc", "tun", "qemu-system-x86_64")

DAILY = ("tap_down", "silent", "other_address", "short_queue")
AFTER = 2.0  # seconds of a processor that are left to it when its window has ended


@pytest.fixture(scope="module")
def bed(index: Index) -> Iterator[Bed]:
    with open_bed(TAP, index) as bed:
        yield bed


@pytest.mark.parametrize("name", DAILY)
def test_a_fault_is_named_first_and_half_of_it_is_not(bed: Bed, name: str) -> None:
    (fault,) = (fault for fault in FAULTS if fault.make.__name__ == name)
    for full in (False, True):
        tried = try_fault(bed, fault, full, longer=(5, 40))
        assert tried.right, (full, named(tried.diagnosis))


def why(*words: str) -> dict[str, Any]:
    said = subprocess.run(
        [sys.executable, "-m", "qtrace", "why", *words, "--format", "json"], capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr
    answer: dict[str, Any] = json.loads(said.stdout)
    return answer


def test_a_healthy_guest_has_nothing_and_it_is_said_what_was_looked_at(bed: Bed) -> None:
    seen = bed.look(lambda bed: chat(bed, 10), 4.0)  # it takes one second of four
    assert seen.nics[0].frames(Direction.TX) >= 10
    found = diagnose(seen)
    assert not found.findings and not found.unknown and len(found.looked_at) >= 20
    assert seen.end["tracing"]["share"] < 0.05


def test_nothing_is_sent_and_the_stored_run_says_the_same(
    bed: Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guest is idle, so every frame would be ours; the folder for temporary files is nobody else's."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    pid, before = str(bed.network.guest.pid), bed.network.device_counters()
    live = why(pid, "--seconds", "2", "-o", str(tmp_path / "run"))
    assert bed.network.device_counters() == before
    assert live["findings"] == [] and live["unknown"] == [] and len(live["looked_at"]) >= 20
    assert why(str(tmp_path / "run")) == live
    assert not list((tmp_path / "temporary").iterdir())


def cpu_seconds(pid: int) -> float:
    """Of a process so far (proc(5): utime and stime, in ticks)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_it_ends_soon_after_its_window(bed: Bed) -> None:
    """By its processor time, which is the same on a machine that has others to serve; docs/why.md has what it
    took by the clock where nothing else ran."""
    seconds = 2.0
    argv = [sys.executable, "-m", "qtrace", "why", str(bed.network.guest.pid), "--seconds", str(seconds)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr and process.stdout
        begun, used = 0.0, 0.0
        for line in process.stderr:
            if "counting in" in line:
                begun, used = time.monotonic(), cpu_seconds(process.pid)
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0 and begun and "nothing found" in said
    assert time.monotonic() - begun >= seconds
    assert usage.ru_utime + usage.ru_stime - used < AFTER


def test_a_link_that_is_down_is_named_by_a_command_that_brings_it_up(bed: Bed) -> None:
    """The finding's own command, given to the guest's own monitor, mends it."""
    guest = bed.network.guest
    guest.qmp("set_link", name="nic0", up=False)
    try:
        answer = why(str(guest.pid), "--seconds", "1")
    finally:
        guest.qmp("set_link", name="nic0", up=True)
    first = answer["findings"][0]
    assert (first["cause"], first["effect"], first["sure"]) == ("link-is-down", "breaks", "certain")
    command = json.loads(first["advice"][0]["command"])
    assert command == {"execute": "set_link", "arguments": {"name": "nic0", "up": True}}
