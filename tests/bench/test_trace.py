"""`qtrace trace PID` on a guest that somebody else has started: no frame is missed, nothing is left."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import pytest

from qtrace.lab.accel import choose_accelerator
from qtrace.lab.network import Network, open_network
from qtrace.lab.workload.frames import frames_to_host
from qtrace.store.index import Index

pytestmark = pytest.mark.needs("root", "bcc", "tun", "qemu-system-x86_64")

FRAMES = 1009


@pytest.fixture(scope="module")
def network(index: Index) -> Iterator[Network]:
    with open_network("virtio-net-pci", "tap", "qemu", choose_accelerator()) as network:
        yield network


def start(network: Network, *words: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
    """`qtrace trace` that has attached."""
    process = subprocess.Popen(
        [sys.executable, "-m", "qtrace", "trace", str(network.guest.pid), *words],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    said = ""
    for line in process.stderr:
        said += line
        if "attached to process" in line:
            return process
    pytest.fail(said)


def test_the_laps_together_have_every_frame(network: Network) -> None:
    process = start(network, "--interval", "0.2", "--format", "json", "--max-overhead", "none")
    assert process.stdout
    assert frames_to_host(network, FRAMES) == FRAMES
    network.settle()
    total: Counter[str] = Counter()
    for line in process.stdout:
        lap = json.loads(line)
        assert not lap["lost"]
        for stage in lap["stages"]:
            if stage["direction"] == "tx" and stage["frames"] is not None:
                total[stage["stage"]] += stage["frames"]
        if total["complete"] >= FRAMES and total["host"] >= FRAMES:
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    stages = ("dequeue", "send", "deliver", "host", "complete")
    assert {stage: total[stage] for stage in stages} == dict.fromkeys(stages, FRAMES)


def test_plain_tables_elsewhere_and_an_end_by_time(network: Network) -> None:
    process = start(network, "--interval", "0.2", "--duration", "0.6")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.count("virtio-net-pci on tap") == 3
    assert "\x1b" not in out and all(
        len(line) <= 80 for line in out.splitlines() if "system calls" not in line
    )


def test_on_a_terminal_the_table_stays_in_place(network: Network) -> None:
    master, slave = pty.openpty()
    try:
        process = start(network, "--interval", "0.2", "--duration", "0.6", stdout=slave)
        os.close(slave)
        shown = b""
        while True:
            try:
                data = os.read(master, 65536)
            except OSError:  # the other end is closed
                break
            shown += data
        process.communicate(timeout=60)
    finally:
        os.close(master)
    assert process.returncode == 0
    assert b"virtqueue_pop" in shown and b"\x1b[" in shown


def test_a_guest_that_ends_is_said(network: Network) -> None:
    with open_network("e1000", "user", "qemu", choose_accelerator()) as short:
        process = start(short, "--interval", "0.2")
        os.kill(short.guest.pid, signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "has ended" in err and "Traceback" not in err
