"""Levels and the budget: quiet traffic is counted exactly, a flood in windows, probes off between them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from breakpoints import places, trapped
from frames import all_passed, frames_from, frames_to_guest, frames_to_host
from tx_header import HEADER, copies_header

from qtrace.errors import LabError
from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.link.connection import Network, open_network
from qtrace.measure.attacher import Attacher
from qtrace.measure.measured_nic import paths_of
from qtrace.measure.qemu_process import QemuProcess
from qtrace.measure.scaling import Suppression
from qtrace.model import PARTLY, Direction
from qtrace.path.walk import walk
from qtrace.store.index import Index
from qtrace.trace.bpf.calibrate import ASSUMED, Cost
from qtrace.trace.budget import decision
from qtrace.trace.budget.overhead_budget import Budget
from qtrace.trace.budget.regulator import Regulator
from qtrace.trace.session.engine import open_engine

pytestmark = pytest.mark.needs("root", "bcc", "tun", "qemu-system-x86_64")

FRAMES = 1009
FLOOD = 10_000
A_SECOND = 1_000  # by pktgen's pauses, which leave time enough on a guest that has a fifth of a processor


@pytest.fixture(scope="module")
def network(index: Index) -> Iterator[Network]:
    with open_network("virtio-net-pci", "tap", "qemu", choose_accelerator()) as network:
        yield network


@pytest.fixture(scope="module")
def sites(index: Index, network: Network) -> list[int]:
    return places(index, network.guest.pid, "virtio-net-pci", "tap")


@pytest.fixture(scope="module")
def cost() -> Cost:
    with open_engine() as engine:
        return engine.calibrate()


@pytest.fixture(scope="module")
def tight(cost: Cost) -> str:
    """A third of what the flood costs at six functions a frame, on whatever host this is."""
    hits = A_SECOND * 6
    return f"{max(0.1, 100 * hits * cost.hit.at(1 / hits) / 3):.2f}%"


class Recording:
    """`qtrace record` as a process that has begun to count."""

    def __init__(self, network: Network, run: Path, *words: str) -> None:
        line = ["record", str(network.guest.pid), "-o", str(run), "--duration", "300", *words]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "qtrace", *line, "--format", "json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr
        said = ""
        for text in self.process.stderr:
            said += text
            if "counting in process" in text:
                return
        pytest.fail(said)

    def end(self) -> dict[str, Any]:
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=300)
        assert self.process.returncode == 0, err
        assert "Traceback" not in err
        found: dict[str, Any] = json.loads(out)
        return found


@contextlib.contextmanager
def flood(network: Network, count: int = FLOOD) -> Iterator[threading.Thread]:
    """So many frames from the guest meanwhile."""
    thread = threading.Thread(target=_frames, args=(network, count), daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(timeout=300)


def stages(answer: dict[str, Any], way: str) -> dict[str, dict[str, Any]]:
    return {row["function"]: row for row in answer["stages"] if row["direction"] == way}


def comes_off(network: Network, sites: list[int], deadline: float = 120.0) -> bool:
    """Whether nothing traps; another tracer of the same program, in all its processes, is waited for."""
    until = time.monotonic() + deadline
    while found := trapped(network.guest.pid, sites):
        if time.monotonic() > until:
            return not found
        time.sleep(0.05)
    return True


def kinds(answer: dict[str, Any]) -> set[str]:
    return {row["kind"] for row in answer["ledger"]}


def test_quiet_traffic_is_exact_within_the_default_budget(
    network: Network, sites: list[int], tmp_path: Path
) -> None:
    began = time.monotonic()
    recording = Recording(network, tmp_path / "run")
    assert trapped(network.guest.pid, sites) > 5
    assert frames_to_guest(network, FRAMES) == FRAMES
    all_passed(network)
    answer = recording.end()
    rows = stages(answer, "rx")
    assert not any(row["windowed"] for row in answer["stages"]) and not kinds(answer) & {
        "suppressed",
        "left out",
    }
    for name in ("read", "qemu_send_packet_async", "virtio_net_receive", "virtqueue_fill"):
        assert rows[name]["frames"] == FRAMES and rows[name]["observed"] == 1.0
    conditions = json.loads((tmp_path / "run" / "run.json").read_text())["conditions"]
    assert conditions["level"] == "stages" and conditions["overhead budget"] == "5 % of one processor"
    assert "measured at the start" in conditions["cost of a hit"]
    attaching, detaching = conditions["attaching"].split(", detaching ")
    took = time.monotonic() - began
    assert 0 <= float(attaching.split()[0]) < took and 0 <= float(detaching.split()[0]) < took
    assert comes_off(network, sites)


def test_a_flood_is_counted_in_windows_and_the_probes_are_off_between(
    network: Network, sites: list[int], tight: str, tmp_path: Path
) -> None:
    recording = Recording(network, tmp_path / "run", "--max-overhead", tight)
    looks = []
    with flood(network) as sending:
        while sending.is_alive():
            looks.append(trapped(network.guest.pid, sites))
            time.sleep(0.01)
    all_passed(network)
    answer = recording.end()
    rows = stages(answer, "tx")
    (device,) = answer["devices"]
    assert device["rx_packets"] >= FLOOD
    # A system call needs no probe in QEMU: exact all the time. The tap's counters are read just outside.
    assert FLOOD <= rows["writev"]["frames"] <= device["rx_packets"]
    assert not rows["writev"]["windowed"]
    deliver = rows["tap_receive_iov"]
    assert deliver["windowed"] and 0 < deliver["observed"] < 0.7
    assert "suppressed" in kinds(answer)
    # Nothing traps in between, for about the time that is claimed.
    off = sum(not look for look in looks) / len(looks)
    # The estimate is of what is known exactly. At either end of a window one frame may be seen by one of the
    # two alone, and stands for as many as the windows are of the whole. (How often an interval holds is
    # test_ratio_estimator.py's.)
    (pauses,) = (row["count"] for row in answer["ledger"] if row["kind"] == "suppressed")
    wrong = abs(deliver["frames"] - rows["writev"]["frames"])
    assert wrong <= 2 * (pauses + 1) / (1 - off) < rows["writev"]["frames"] / 2
    assert 0 <= deliver["frames_error"] < deliver["frames"]
    assert off > 0.2 and abs(1 - off - deliver["observed"]) < 0.35
    assert max(looks) > 5 and comes_off(network, sites)


def test_a_guest_that_dies_between_windows_is_said(index: Index, tight: str, tmp_path: Path) -> None:
    with open_network("virtio-net-pci", "tap", "qemu", choose_accelerator()) as short:
        pid = short.guest.pid
        sites = places(index, pid, "virtio-net-pci", "tap")
        recording = Recording(short, tmp_path / "run", "--max-overhead", tight)
        threading.Thread(target=_frames, args=(short, 10 * FLOOD), daemon=True).start()
        until = time.monotonic() + 120
        while trapped(pid, sites):
            assert time.monotonic() < until, "the probes never come off"
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        _, err = recording.process.communicate(timeout=300)
    assert recording.process.returncode == 0  # what was counted is kept
    assert "has ended" in err and "Traceback" not in err


def _frames(network: Network, count: int) -> None:
    with contextlib.suppress(LabError):  # it may end with the guest
        frames_from(network, "eth0", count, delay=10**9 // A_SECOND)


def test_counts_probes_no_function(network: Network, sites: list[int], tmp_path: Path) -> None:
    recording = Recording(network, tmp_path / "run", "--level", "counts")
    assert comes_off(network, sites)
    assert frames_to_host(network, FRAMES) == FRAMES
    all_passed(network)
    answer = recording.end()
    rows = stages(answer, "tx")
    assert rows["writev"]["frames"] == FRAMES
    assert {row["how"] for row in answer["stages"] if row["attached"]} == {"tracepoint"}
    assert "level counts" in rows["tap_receive_iov"]["note"]
    assert "copies" not in answer  # at the level full only
    assert any(row["name"] == "writev" and row["fd"] == "tap" for row in answer["syscalls"])


def test_full_has_every_function_that_has_a_place(index: Index, network: Network, tmp_path: Path) -> None:
    run = tmp_path / "run"
    recording = Recording(network, run, "--level", "full")
    assert frames_to_host(network, FRAMES) == FRAMES
    all_passed(network)
    answer = recording.end()
    rows = stages(answer, "tx")
    between = {name: row for name, row in rows.items() if not row["stage"] and row["attached"]}
    assert {"qemu_net_queue_send_iov", "qemu_deliver_packet_iov"} <= between.keys()
    # What has a place is the program's affair: 10.0 of Debian 13 has tap_write_packet inside its caller.
    walked = walk(index, "virtio-net-pci", "tap", direction=Direction.TX)
    placement = QemuProcess(network.guest.pid, index=index).placement
    steps = {
        step.function: placement.locate(step.function, step.file) for step in walked.steps if not step.stage
    }
    assert between.keys() == {
        name for name, found in steps.items() if found and found[1].confidence != PARTLY
    }
    assert all(rows[name]["note"] for name, found in steps.items() if not found)
    # What stands between two stages that count every frame is called for every frame.
    first, last = rows["qemu_sendv_packet_async"], rows["writev"]
    inside = [row for row in between.values() if first["position"] < row["position"] < last["position"]]
    assert len(inside) >= 2 and {row["calls"] for row in inside} == {FRAMES}
    copies = {(row["direction"], row["function"]): row for row in answer["copies"]}
    header = copies["tx", "iov_to_buf_full"]
    copied = FRAMES * copies_header(index)
    assert (header["calls"], header["bytes"], header["frames"]) == (copied, HEADER * copied, FRAMES)
    assert "not counted" in {row["kind"] for row in answer["ledger"]}
    said = subprocess.run(
        [
            sys.executable,
            "-m",
            "qtrace",
            "walk",
            "virtio-net-pci",
            "tap",
            "--direction",
            "tx",
            "--run",
            str(run),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert said.returncode == 0, said.stderr
    lines = said.stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if "-> qemu_net_queue_send_iov" in line)
    assert f"{FRAMES:,} times, 1.00 for each frame" in lines[at + 1]


@pytest.mark.parametrize(
    ("value", "says"),
    [("0", "would allow no probe"), ("much", "neither a percentage"), ("500%", "not between 0.1% and 100%")],
)
def test_an_impossible_budget_is_refused(value: str, says: str) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "qtrace", "record", str(os.getpid()), "--max-overhead", value],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert said.returncode == 2 and says in said.stderr and "Traceback" not in said.stderr


def test_the_dearest_function_that_tells_no_frames_is_left_out_first(
    network: Network, attacher: Attacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On this path none takes half of the cost, so the limit is lower here."""
    monkeypatch.setattr(decision, "_MOST", 0.001)
    nics = QemuProcess(network.guest.pid).measured()
    suppression = Suppression(nics)
    with attacher.attach(network.guest.pid, paths_of(nics)) as session:
        regulator = Regulator(session, Budget(0.001), ASSUMED, suppression.keep)
        session.start()
        regulator.begin()
        with flood(network, 2_000) as sending:
            while sending.is_alive():
                regulator.run(0.1)
        session.stop()
        regulator.end()
        seen = session.read()
    (nic,) = nics
    tables = nic.of(seen).tables()
    suppression.whole(regulator, seen.seconds).apply(nic.name, tables)
    left = {row["item"] for row in tables["ledger"] if row["kind"] == "left out"}
    assert left and left <= {"virtio_queue_host_notifier_read", "msix_notify"}
    for row in tables["stages"]:
        if row["function"] in left:
            assert row["windowed"] and row["observed"] < 1 and "calls_error" not in row


def test_the_cost_of_a_hit_is_measured(cost: Cost) -> None:
    assert cost.measured and 5e-8 < cost.hit.warm <= cost.hit.cold < 1e-4
    assert 0 <= cost.step < 1e-3 and 0 <= cost.call.warm <= cost.call.cold < 1e-4
    # A hit in other work is dearer than one after the other, and never more than where it was measured.
    assert cost.hit.at(0) == cost.hit.warm and cost.hit.at(1) == cost.hit.cold
