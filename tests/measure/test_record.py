"""`qtrace record PID` on a guest that somebody else has started, as the person at the terminal sees it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from frames import all_passed, frames_to_host

from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.guest.guest import find_qemu
from qtrace.lab.link.connection import Network, open_network
from qtrace.store.index import Index
from qtrace.store.run import RunReader

pytestmark = pytest.mark.needs("root", "bcc", "tun", "qemu-system-x86_64")

FRAMES = 1009


@pytest.fixture(scope="module")
def network(index: Index) -> Iterator[Network]:
    with open_network("virtio-net-pci", "tap", "qemu", choose_accelerator()) as network:
        yield network


class Recording:
    """`qtrace record` as a process that has begun to count."""

    def __init__(self, network: Network, run: Path, duration: float) -> None:
        words = [str(network.guest.pid), "-o", str(run), "--duration", str(duration), "--format", "json"]
        words += ["--max-overhead", "none"]  # exact at any cost
        self.process = subprocess.Popen(
            [sys.executable, "-m", "qtrace", "record", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr
        self.said = ""
        for line in self.process.stderr:
            self.said += line
            if "counting in process" in line:
                return
        pytest.fail(self.said)

    def end(self) -> dict[str, object]:
        out, err = self.process.communicate(timeout=300)
        assert self.process.returncode == 0, err
        answer: dict[str, object] = json.loads(out)
        return answer


def test_known_frames_are_counted_and_ctrl_c_keeps_them(network: Network, tmp_path: Path) -> None:
    recording = Recording(network, tmp_path / "run", 300)
    assert frames_to_host(network, FRAMES) == FRAMES
    all_passed(network)
    recording.process.send_signal(signal.SIGINT)
    answer = recording.end()
    stages, devices = answer["stages"], answer["devices"]
    assert isinstance(stages, list) and isinstance(devices, list)
    frames = {row["stage"]: row["frames"] for row in stages if row["direction"] == "tx"}
    # What the tap itself says: the probes saw all of it.
    assert [(row["device"], row["rx_packets"]) for row in devices] == [("tap0", frames["deliver"])]
    assert {stage: frames[stage] for stage in ("dequeue", "send", "deliver", "host", "complete")} == (
        dict.fromkeys(("dequeue", "send", "deliver", "host", "complete"), FRAMES)
    )
    run = RunReader.open(tmp_path / "run")
    assert run.meta["status"] == "complete" and run.meta["conditions"]["QEMU"]
    assert run.table("stages").num_rows == len(stages) and not run.damaged


def test_the_probes_of_a_process_are_listed_with_the_reason_if_not(network: Network, index: Index) -> None:
    words = ["probes", "--pid", str(network.guest.pid), "--format", "json"]
    said = subprocess.run(
        [sys.executable, "-m", "qtrace", *words], capture_output=True, text=True, timeout=300
    )
    assert said.returncode == 0, said.stderr
    rows = json.loads(said.stdout)
    delivered = [row for row in rows if row["stage"] == "deliver" and row["direction"] == "tx"]
    # Until 8.2 a tap's table has a callback for frames that come with no header.
    raw = [row for row in index.tables("NetClientInfo", ("receive_raw",)) if row[0] == "net_tap_info"]
    others = [("tap_receive_raw", "tap_receive_iov")] if raw else []
    assert [(row["function"], row["way_of"]) for row in delivered] == [("tap_receive_iov", ""), *others]
    deliver = {row["direction"]: row for row in rows if row["stage"] == "deliver" and not row["way_of"]}
    assert deliver["tx"]["function"] == "tap_receive_iov" and deliver["tx"]["attachable"]
    assert deliver["tx"]["kind"] == "uprobe" and deliver["tx"]["offset"] > 0
    assert all(bool(row["reason"]) != row["attachable"] for row in rows)


def test_the_folder_must_be_free(network: Network, tmp_path: Path) -> None:
    (tmp_path / "something").write_text("precious")
    words = [str(network.guest.pid), "-o", str(tmp_path), "--duration", "1"]
    said = subprocess.run(
        [sys.executable, "-m", "qtrace", "record", *words], capture_output=True, text=True, timeout=300
    )
    assert said.returncode == 1 and "is not empty" in said.stderr and "Traceback" not in said.stderr
    assert (tmp_path / "something").read_text() == "precious"


@pytest.mark.parametrize("name", ["qemu-system-x86_64", "vm-runner"])
def test_a_qemu_of_no_package_is_read_with_the_index_of_its_version(
    name: str, index: Index, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its file is called: it is a QEMU by what it holds."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))  # the guest's user must be able to run it
    try:
        folder.chmod(0o755)
        (folder / "bin").mkdir()
        program = folder / "bin" / name
        shutil.copy(find_qemu().resolve(), program)
        if name != "qemu-system-x86_64":  # the lab starts it by that name
            caller = program.with_name("qemu-system-x86_64")
            caller.write_text(f'#!/bin/sh\nexec {program} "$@"\n')
            caller.chmod(0o755)
        for part in ("lib", "share"):  # QEMU looks for its modules and firmware beside itself
            (folder / part).symlink_to(f"/usr/{part}")
        monkeypatch.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")
        with open_network("virtio-net-pci", "tap", "qemu", choose_accelerator()) as network:
            assert Path(f"/proc/{network.guest.pid}/exe").readlink() == program
            recording = Recording(network, tmp_path_factory.mktemp("run") / "run", 300)
            assert f"read with the index of QEMU {index.meta['qemu']}" in recording.said
            assert frames_to_host(network, FRAMES) == FRAMES
            all_passed(network)
            recording.process.send_signal(signal.SIGINT)
            stages = recording.end()["stages"]
    finally:
        shutil.rmtree(folder)
    assert isinstance(stages, list)
    assert [row["frames"] for row in stages if (row["direction"], row["stage"]) == ("tx", "deliver")] == [
        FRAMES
    ]
