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
from typing import Any

import pytest
from exact import OTHER_MAC, to_mac
from frames import all_passed, frames_to_host

from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.link.connection import Network, open_network
from qtrace.lab.link.link import MAC
from qtrace.proc import tap_counters
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
    all_passed(network)
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
    process.communicate(timeout=300)
    assert process.returncode == 130
    stages = ("dequeue", "send", "deliver", "host", "complete")
    assert {stage: total[stage] for stage in stages} == dict.fromkeys(stages, FRAMES)


def test_plain_tables_elsewhere_and_an_end_by_time(network: Network) -> None:
    process = start(network, "--interval", "0.2", "--duration", "0.6")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert out.count("virtio-net-pci on tap") == 3
    assert "   dropped or delayed: none" in out.splitlines()
    assert "\x1b" not in out and all(
        len(line) <= 80 for line in out.splitlines() if "system calls" not in line
    )


def next_drops(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What the next lap says of the way to the guest."""
    assert process.stdout
    lap = json.loads(process.stdout.readline())
    (drops,) = (one for one in lap["drops"] if one["direction"] == "rx")
    return dict(drops)


def test_drops_and_delays_are_shown_with_their_reason(network: Network) -> None:
    """A guest that is stopped: one frame waits in QEMU, the tap fills and drops; then it goes on."""
    pid = network.guest.pid
    ((tap, before),) = tap_counters(pid).items()
    process = start(network, "--interval", "0.3", "--format", "json", "--max-overhead", "none")
    network.guest.qmp("stop")
    try:
        to_mac(network, MAC, 1500)
        wanted = tap_counters(pid)[tap]["tx_dropped"] - before["tx_dropped"]  # it is full, nobody empties it
        dropped, drops = 0, next_drops(process)
        while dropped < wanted or not drops["stopped"] or drops["tap_dropped"]:
            dropped += drops["tap_dropped"]
            drops = next_drops(process)
        assert dropped == wanted > 0
        assert drops["queued"] == 1 and drops["queue_limit"] == 10_000
        (stop,) = drops["stopped"]
        assert (stop["stage"], stop["frames"]) == ("send", 1)
        assert stop["why"] == "waiting in QEMU's queue at the window's end: the guest is stopped"
    finally:
        network.guest.qmp("cont")
    while not (drops := next_drops(process))["waited"]:
        pass
    assert drops["wait_p99_ns"] > 1e8  # others may have waited for buffers, when all come at once
    while drops["waited"]:
        drops = next_drops(process)
    to_mac(network, OTHER_MAC, 7)
    new = 0
    while new < 7:
        drops = next_drops(process)
        new += sum(stop["new"] for stop in drops["stopped"])
    assert new == 7 and not drops["queued"]
    (stop,) = drops["stopped"]
    assert stop["why"] == "dropped by the NIC's receive filter: not its address or VLAN"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=300)


TROUBLES = (
    "dropped by the host's tap, 1 in QEMU's queue now",
    "   stopped at send: 1: waiting in QEMU's queue at the window's end: the guest",
)


def test_drops_fit_into_80_columns(network: Network) -> None:
    process = start(network, "--interval", "0.3")
    assert process.stdout
    network.guest.qmp("stop")
    try:
        to_mac(network, MAC, 1500)
        out, line = "", ""
        while not (all(text in out for text in TROUBLES) and line.startswith("CPU: ")):
            line = process.stdout.readline()
            assert line, out
            out += line
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=300)
    finally:
        network.guest.qmp("cont")
    assert all(len(line) <= 80 for line in out.splitlines() if "system calls" not in line)


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
        process.communicate(timeout=300)
    finally:
        os.close(master)
    assert process.returncode == 0
    assert b"virtqueue_pop" in shown and b"\x1b[" in shown


def test_a_guest_that_ends_is_said(network: Network) -> None:
    with open_network("e1000", "user", "qemu", choose_accelerator()) as short:
        process = start(short, "--interval", "0.2")
        os.kill(short.guest.pid, signal.SIGKILL)
        _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "has ended" in err and "Traceback" not in err
