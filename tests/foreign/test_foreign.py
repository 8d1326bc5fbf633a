"""A guest that nobody here built: each stage counts its frames, interrupts are as many as the guest took."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from installer import Installer, Machine, open_installer

from qtrace.store.index import Index

pytestmark = pytest.mark.needs("root", "bcc", "tun", "qemu-system-x86_64", "setpriv")

PINGS = 8
# What a NIC's path has of these counts each frame.
EACH_FRAME = ("dequeue", "send", "deliver", "host", "complete", "enqueue")
MACHINES = (
    Machine("e1000e", machine="q35", driver="e1000e"),
    Machine("e1000e", driver="e1000e IntMode=0"),
    Machine("vmxnet3", driver="vmxnet3"),
    Machine("pcnet", driver="pcnet32"),
    Machine("virtio-net-pci,vectors=0"),
    Machine("virtio-net-pci,ioeventfd=off"),
)


@dataclass(frozen=True)
class Counted:
    """What was recorded, and what the guest says of the same time: frames that it sent and received,
    interrupts by line."""

    tables: dict[str, list[dict[str, Any]]]
    sent: int
    received: int
    interrupts: dict[str, int]

    def calls(self, stage: str) -> int:
        """Of both directions."""
        return sum(row["calls"] for row in self.tables["stages"] if row["stage"] == stage)

    def way(self, function: str) -> int:
        return sum(row["calls"] for row in self.tables["ways"] if row["function"] == function)


def record(guest: Installer, folder: Path) -> Counted:
    """Record it while it pings."""
    argv = [sys.executable, "-m", "qtrace", "record", str(guest.pid), "--duration", "300", "--format", "json"]
    argv += ["--max-overhead", "none", "--cpu-hertz", "0", "-o", str(folder)]
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as tracer:
        assert tracer.stdout and tracer.stderr
        try:
            said = ""
            while "counting in process" not in said:
                said = tracer.stderr.readline()
                assert said, "the tracer has ended"
            before, frames = guest.interrupts(), guest.frames()
            guest.ping(PINGS)
            after, now = guest.interrupts(), guest.frames()
            tracer.send_signal(signal.SIGINT)
            answer = json.loads(tracer.stdout.read())
        finally:
            tracer.kill()
    interrupts = {line: number - before[line] for line, number in after.items()}
    return Counted(answer, now[0] - frames[0], now[1] - frames[1], interrupts)


@pytest.fixture(scope="module", params=MACHINES, ids=str)
def counted(request: pytest.FixtureRequest, index: Index, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with open_installer(request.param) as guest:
        yield request.param, record(guest, tmp_path_factory.mktemp("run") / "run")


def test_each_stage_counts_every_frame(counted: tuple[Machine, Counted]) -> None:
    _, found = counted
    assert found.sent >= PINGS and found.received >= PINGS  # ARP besides
    for row in found.tables["stages"]:
        if row["stage"] in EACH_FRAME:
            wanted = found.sent if row["direction"] == "tx" else found.received
            assert (row["attached"], row["frames"]) == (True, wanted), row


def test_interrupts_are_those_that_the_guest_took(counted: tuple[Machine, Counted]) -> None:
    _, found = counted
    taken = sum(number for line, number in found.interrupts.items() if "config" not in line)
    assert taken >= PINGS
    assert found.calls("interrupt") == taken


def test_sends_are_announced(counted: tuple[Machine, Counted]) -> None:
    machine, found = counted
    assert found.calls("kick") >= PINGS
    if machine.nic == "virtio-net-pci,ioeventfd=off":
        assert found.way("virtio_queue_notify") >= PINGS
        assert found.way("virtio_queue_host_notifier_read") == 0


def test_no_stage_is_unseen(counted: tuple[Machine, Counted]) -> None:
    _, found = counted
    assert [row for row in found.tables["ledger"] if row["kind"] in ("not seen here", "unattached")] == []
