"""The lab machine ends amid a campaign: another one measures the rest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qtrace.store.index import Index
from qtrace.store.run import RunReader

pytestmark = [pytest.mark.longest, pytest.mark.needs("qemu-system-x86_64", "busybox", "setpriv")]

PLAN = """
name = "gone"
repetitions = 2
seed = 7
[seconds]
rr = 2
[[cells]]
nic = "virtio-net-pci"
netdev = "tap"
directions = ["tx"]
workloads = ["rr"]
"""
# With and without probes in either repetition, and the baseline once more.
TOTAL = 6


def test_another_machine_goes_on_where_one_ended(installed: Index, tmp_path: Path) -> None:
    """`installed`: the index of the installed QEMU is there, so that none is made meanwhile."""
    (tmp_path / "gone.toml").write_text(PLAN)
    run = tmp_path / "run"
    words = ["bench", str(tmp_path / "gone.toml"), "--venue", "vm", "-o", str(run)]
    said: list[str] = []
    killed = False
    with subprocess.Popen(
        [sys.executable, "-m", "qtrace", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        for line in process.stderr:
            said.append(line)
            if f"[3/{TOTAL}]" in line and not killed:
                killed = True
                os.kill(_machine(process.pid), signal.SIGKILL)
    assert process.returncode == 0, "".join(said)
    (gone,) = (line for line in said if "the lab machine is gone (QEMU ended with status -9)" in line)
    assert "another one goes on with the rest, 2 measurements are there" in gone
    assert sum("lab machine: Linux" in line for line in said) == 2
    whole = RunReader.open(run)
    assert whole.meta["status"] == "complete" and whole.meta["resumed"] == [2]
    assert sorted(set(whole.table("results").to_pandas()["order"])) == [*range(TOTAL)]


def _machine(parent: int) -> int:
    """The lab machine's QEMU, a child of that process."""
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        if b"qtrace-lab-machine" in Path(f"/proc/{child}/cmdline").read_bytes():
            return int(child)
    raise AssertionError("no lab machine runs")
