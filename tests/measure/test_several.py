"""Several NICs in one QEMU, queues of one NIC, and cards that came later: each count is its netdev's own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from frames import all_passed, frames_from
from program import Program

from qtrace.errors import TargetError, TraceError
from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.guest.guest import find_qemu
from qtrace.lab.link.connection import Network, open_network
from qtrace.lab.link.tap import open_queues
from qtrace.measure.qemu_process import QemuProcess
from qtrace.store.index import Index
from qtrace.store.run import RunReader
from qtrace.trace.qemu.net_clients import NetClient

pytestmark = pytest.mark.needs("root", "bcc", "tun", "qemu-system-x86_64")

# Device in the guest, queue there, netdev, frames: no two the same.
SENT = (
    ("eth0", 0, "net0", 101),
    ("eth1", 0, "net1", 211),
    ("eth2", 0, "net2", 307),
    ("eth2", 1, "net2", 401),
    ("eth3", 0, "net3", 53),
)


@pytest.fixture(scope="module")
def network(index: Index) -> Iterator[Network]:
    """A guest with three more cards plugged in: on libslirp, on a tap with two queues, on a socket."""
    with open_network("virtio-net-pci", "tap", "qemu", choose_accelerator(), processors=2) as network:
        qmp = network.guest.qmp
        qmp("netdev_add", type="user", id="net1")
        qmp("device_add", driver="virtio-net-pci", netdev="net1", id="nic1", romfile="")
        with open_queues(network.space, "queued", 2) as queues:
            for number, queue in enumerate(queues):
                network.guest.hand_over(f"queue{number}", queue)
            qmp("netdev_add", type="tap", id="net2", fds="queue0:queue1")
            network.space.ip("link", "set", "queued", "up")
            more = {"mq": True, "vectors": 6}
            qmp("device_add", driver="virtio-net-pci", netdev="net2", id="nic2", romfile="", **more)
            qmp("netdev_add", type="socket", id="net3", udp="127.0.0.1:7777", localaddr="127.0.0.1:7776")
            qmp("device_add", driver="e1000", netdev="net3", id="nic3", romfile="")
            network.guest.sh(
                "echo 1 >/sys/bus/pci/rescan; for card in 1 2 3; do tries=0; "
                "until ip link set eth$card up 2>/dev/null || [ $((tries += 1)) -gt 200 ]; "
                "do usleep 50000; done; ip link set eth$card up; done"
            )
            yield network


def test_the_memory_says_what_the_monitor_says(network: Network, index: Index) -> None:
    clients = QemuProcess(network.guest.pid, index=index).clients()
    said = str(network.guest.qmp("human-monitor-command", **{"command-line": "info network"}))
    told = re.findall(r"^(?: \\ )?(\w+): index=(\d+),type=([\w-]+)", said, re.MULTILINE)
    assert sorted((c.name, str(c.queue), c.driver) for c in clients) == sorted(told) and len(told) == 10
    by_address = {client.address: client for client in clients}
    for client in clients:
        peer = by_address[client.peer]
        assert (peer.peer, peer.queue) == (client.address, client.queue)
        assert client.name.removeprefix("nic") == peer.name.removeprefix("net") or client.driver != "nic"
    taps = {(c.name, c.queue): c.descriptor for c in clients if c.driver == "tap"}
    assert {f"fd={number}" for number in taps.values()} <= set(re.findall(r"fd=\d+", said))
    virtio = [client for client in clients if client.model.startswith("virtio-net")]
    assert len(virtio) == 4 and all(client.features and client.features >> 32 & 1 for client in virtio)


def test_each_netdev_and_queue_has_its_own_frames(network: Network, tmp_path: Path) -> None:
    answer = _recorded(network, tmp_path / "run", [])
    expected: dict[str, int] = {}
    for _, _, netdev, frames in SENT:
        expected[netdev] = expected.get(netdev, 0) + frames
    for stage in ("send", "deliver"):
        rows = _tx(answer["stages"], stage)
        assert {row["netdev_id"]: row["frames"] for row in rows} == expected
    taken = {row["netdev_id"]: row["frames"] for row in _tx(answer["stages"], "dequeue")}
    assert taken == expected
    host = {(row["netdev_id"], row["function"]): row["frames"] for row in _tx(answer["stages"], "host")}
    assert host["net0", "writev"] == expected["net0"] and host["net2", "writev"] == expected["net2"]
    assert host["net3", "sendto"] == expected["net3"] and host["net1", "slirp_input"] == expected["net1"]
    queues = {row["queue"]: row["frames"] for row in _tx(answer["queues"], "deliver")}
    assert queues == {queue: frames for _, queue, netdev, frames in SENT if netdev == "net2"}
    devices = {row["netdev_id"]: row["rx_packets"] for row in answer["devices"]}
    assert devices == {name: expected[name] for name in ("net0", "net2")}
    kinds = {row["kind"] for row in answer["ledger"]}
    assert not kinds & {"lost", "missed", "shared", "unattributed"}
    run = RunReader.open(tmp_path / "run")
    assert {cell.split("+")[-1] for cell in run.table("stages")["cell"].to_pylist()} == {
        f"live-net{number}" for number in range(4)
    }
    assert "MRG_RXBUF" in run.meta["conditions"]["nic0 on net0"]
    assert "2 queues" in run.meta["conditions"]["nic2 on net2"]


def test_one_of_them_alone(network: Network, tmp_path: Path) -> None:
    answer = _recorded(network, tmp_path / "run", ["--netdev", "net2"])
    assert {row["netdev_id"] for row in answer["stages"]} == {"net2"}
    frames = sum(frames for _, _, netdev, frames in SENT if netdev == "net2")
    assert {row["frames"] for row in _tx(answer["stages"], "deliver")} == {frames}


def test_a_netdev_that_is_not_there_is_said_with_those_that_are(network: Network) -> None:
    words = ["record", str(network.guest.pid), "--netdev", "net9", "--duration", "1"]
    said = subprocess.run([sys.executable, "-m", "qtrace", *words], capture_output=True, text=True)
    assert said.returncode == 1 and "no netdev 'net9'" in said.stderr
    assert "net2 (virtio-net-pci on tap)" in said.stderr


def test_cards_that_come_and_go_disturb_no_other(network: Network, index: Index) -> None:
    process = _start(network, "trace", "--interval", "0.2", "--format", "json", "--netdev", "net0")
    assert process.stdout
    network.guest.qmp("netdev_add", type="user", id="net7")
    network.guest.qmp("device_add", driver="virtio-net-pci", netdev="net7", id="nic7", romfile="")
    read = QemuProcess(network.guest.pid, index=index).clients
    assert any(client.name == "nic7" for client in read())
    assert frames_from(network, "eth1", 30) == 30
    assert frames_from(network, "eth0", 40) == 40
    network.guest.qmp("device_del", id="nic7")
    all_passed(network)
    seen = 0
    for line in process.stdout:
        lap = json.loads(line)
        seen += sum(s["frames"] for s in lap["stages"] if (s["direction"], s["stage"]) == ("tx", "host"))
        if seen >= 40:
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=300)
    assert seen == 40


def _recorded(network: Network, run: Path, words: list[str]) -> dict[str, Any]:
    """`qtrace record` while every card has sent what SENT says."""
    words = ["--duration", "300", "--format", "json", "--max-overhead", "none", *words]  # exact, however slow
    process = _start(network, "record", "-o", str(run), *words)
    for device, queue, _, frames in SENT:
        assert frames_from(network, device, frames, queue) == frames
    all_passed(network)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    answer: dict[str, Any] = json.loads(out)
    return answer


def _start(network: Network, verb: str, *words: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "qtrace", verb, str(network.guest.pid), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    assert process.stderr
    said = ""
    for line in process.stderr:
        said += line
        if "counting in process" in line or "attached to process" in line:
            return process
    pytest.fail(said)


def _tx(rows: list[dict[str, Any]], stage: str) -> list[dict[str, Any]]:
    return [
        row for row in rows if (row["direction"], row["stage"]) == ("tx", stage) and row.get("attached", True)
    ]


def test_what_is_on_no_wire_is_read_too(index: Index) -> None:
    """A back end alone, hubs, and generated names, in a QEMU that is paused."""
    _paused(index, Program(str(find_qemu())))


def test_the_memory_of_a_newer_release_is_read(newer: Index, newer_program: Program) -> None:
    _paused(newer, newer_program)


def _paused(index: Index, program: Program) -> None:
    words = ["-S", "-display", "none", "-machine", "pc", "-accel", "tcg", "-nodefaults", "-monitor", "none"]
    words += ["-netdev", "user,id=alone", "-netdev", "hubport,id=port,hubid=3,netdev=alone"]
    words += ["-nic", "hubport,model=e1000,hubid=3", "-nic", "user,model=virtio-net-pci"]
    process = subprocess.Popen([program.path, *words], env=os.environ | program.environment)
    try:
        clients = _ready(process, index)
        assert sorted(c.driver for c in clients) == ["hubport", "hubport", "nic", "nic", "user", "user"]
        assert {c.hub for c in clients if c.driver == "hubport"} == {3}
        assert sorted(c.model for c in clients if c.driver == "nic") == ["e1000", "virtio-net-pci"]
        virtio = next(c for c in clients if c.model == "virtio-net-pci")
        assert virtio.virtqueues and virtio.features == 0 and not virtio.vhost
    finally:
        process.kill()
        process.wait()


def _ready(process: subprocess.Popen[bytes], index: Index) -> list[NetClient]:
    """The clients of a QEMU that is starting, as soon as all are there."""
    deadline = time.monotonic() + 120
    while True:
        try:
            clients = QemuProcess(process.pid, index=index).clients()
            if len(clients) == 6 and all(client.peer for client in clients):
                return clients
        except (TargetError, TraceError):  # of a process that does not run the program yet, the second
            pass
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)


def test_a_socket_that_carries_a_stream_is_measured_as_one(index: Index, tmp_path: Path) -> None:
    with open_network("virtio-net-pci", "socket", "qemu", choose_accelerator(), form="fd-stream") as network:
        process = _start(
            network, "record", "-o", str(tmp_path / "run"), "--duration", "300", "--format", "json"
        )
        assert frames_from(network, "eth0", 101) == 101
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "virtio-net-pci on socket-stream" in RunReader.open(tmp_path / "run").meta["plan"]["title"]
    answer = json.loads(out)
    (deliver,) = _tx(answer["stages"], "deliver")
    assert (deliver["function"], deliver["frames"]) == ("net_socket_receive", 101)
    # What leaves is a stream: its bytes are counted, a length of 4 bytes before each frame among them.
    (host,) = _tx(answer["stages"], "host")
    assert (host["function"], host["bytes"]) == ("sendmsg", 101 * (200 + 4))
