"""All packets at one place of a lab that somebody else runs."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qtrace.errors import LabError
from qtrace.lab.experiment.dump_file import HEADERS, cut_headers, header_before
from qtrace.lab.experiment.hops import count_matching, packets
from qtrace.lab.experiment.place_capture import find_place, place_names
from qtrace.lab.host.owned import LABS

LIVE = pytest.mark.needs("root", "tun", "ip", "nft", "perl", "setpriv", "busybox", "qemu-system-x86_64")
QTRACE = [sys.executable, "-m", "qtrace"]
MAC = "52:54:00:12:34:01"
ECHO = "icmp[icmptype] == icmp-echo"


def frame(source: str, target: str) -> bytes:
    return bytes.fromhex((target + source).replace(":", "")) + b"\x08\x00" + bytes(60)


def dump(path: Path, *frames: bytes) -> Path:
    head = bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000")
    record = bytes(8)
    path.write_bytes(head + b"".join(record + len(one).to_bytes(4, "little") * 2 + one for one in frames))
    return path


@pytest.mark.needs("tcpdump")
@pytest.mark.parametrize("header", [0, *HEADERS])
def test_virtio_s_header_is_told_by_the_nic_s_address(tmp_path: Path, header: int) -> None:
    others = frame("02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff")
    frames = [others, frame(MAC, "02:00:00:00:00:01"), frame("02:00:00:00:00:01", MAC)]
    file = dump(tmp_path / "a.pcap", *(bytes(header) + one for one in frames))
    assert header_before(file, MAC) == header
    assert header_before(file, "52:54:00:12:34:02") == 0
    assert [packet.data for packet in packets(cut_headers(file, header))] == frames
    backwards = dump(tmp_path / "b.pcap", *(bytes(header) + one for one in reversed(frames)))
    assert header_before(backwards, MAC) == header


@pytest.fixture(scope="module")
def lab() -> Iterator[subprocess.Popen[str]]:
    """A lab of another process, up."""
    process = subprocess.Popen(
        [*QTRACE, "lab", "up", "tap"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert process.stderr
    try:
        assert any(" is up after " in line for line in process.stderr)
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=300)


def start(place: str, folder: Path, *words: str) -> subprocess.Popen[str]:
    """A capture that listens."""
    argv = [*QTRACE, "lab", "capture", place, "-o", str(folder), *words]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr
    assert any("listening at" in line for line in process.stderr)
    return process


def ping(number: int) -> None:
    words = ["lab", "shell", "vm1", "--", f"ping -q -c {number} -i 0.1 192.168.71.1"]
    subprocess.run([*QTRACE, *words], check=True, capture_output=True, timeout=300)


@LIVE
@pytest.mark.parametrize("place", ["vm1-net0", "host-tap1"])
def test_every_packet_until_ctrl_c(lab: subprocess.Popen[str], tmp_path: Path, place: str) -> None:
    assert f"tap:{place}" in place_names()
    capture = start(place, tmp_path)
    ping(7)
    capture.send_signal(signal.SIGINT)
    said, _ = capture.communicate(timeout=300)
    file = tmp_path / f"{place}.pcap"
    assert capture.returncode == 0 and [entry.name for entry in tmp_path.iterdir()] == [file.name]
    assert count_matching(file, ECHO) == 7 == count_matching(file, "icmp[icmptype] == icmp-echoreply")
    assert said.split()[:2] == [place, str(len(packets(file)))]


@LIVE
def test_one_at_a_time_and_a_killed_one_leaves_the_place_free(
    lab: subprocess.Popen[str], tmp_path: Path
) -> None:
    first = start("vm1-net0", tmp_path / "a")
    second = subprocess.run(
        [*QTRACE, "lab", "capture", "vm1-net0", "-o", str(tmp_path / "b")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert second.returncode == 1 and "somebody captures at tap:vm1-net0 already" in second.stderr
    first.kill()
    first.communicate()
    third = start("vm1-net0", tmp_path / "c")
    ping(3)
    third.send_signal(signal.SIGINT)
    third.communicate(timeout=300)
    assert third.returncode == 0 and count_matching(tmp_path / "c/vm1-net0.pcap", ECHO) == 3
    assert not [file for file in (LABS / "tap/vm1").iterdir() if file.suffix == ".pcap"]


@LIVE
def test_it_ends_with_its_time(lab: subprocess.Popen[str], tmp_path: Path) -> None:
    began = time.monotonic()
    capture = start("lan-eth0", tmp_path, "--seconds", "3")
    assert capture.wait(300) == 0  # and not only with its lab
    assert time.monotonic() - began >= 3
    assert packets(tmp_path / "lan-eth0.pcap") == []


@LIVE
def test_what_is_no_place_is_said_with_what_there_is(lab: subprocess.Popen[str]) -> None:
    with pytest.raises(LabError, match="neither a mode nor a lab that runs has a place 'host-tap9'") as said:
        find_place("host-tap9")
    assert "tap:host-tap1" in said.value.hint and "tap:vm1-net0" in said.value.hint


@LIVE
def test_it_ends_with_its_lab_and_keeps_what_it_has(lab: subprocess.Popen[str], tmp_path: Path) -> None:
    capture = start("vm1-net0", tmp_path)
    ping(2)
    lab.send_signal(signal.SIGINT)
    _, said = capture.communicate(timeout=300)
    assert capture.returncode == 0 and "the lab tap has ended" in said
    assert count_matching(tmp_path / "vm1-net0.pcap", ECHO) == 2
