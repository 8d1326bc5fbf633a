"""Sampled frames and their exports: each frame is itself at every stage, and other programs read it."""

from __future__ import annotations

import json
import shutil
import signal
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from frames import all_passed, frames_to_host, turn

from qtrace.campaign.brief import make_brief
from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.link.connection import Network, open_network
from qtrace.measure.attacher import Attacher
from qtrace.measure.instruments.frame_samples import FrameSamples
from qtrace.model import Cell
from qtrace.store.index import Index
from qtrace.store.run import RunReader, RunWriter

pytestmark = pytest.mark.needs("root", "bcc", "tun", "qemu-system-x86_64")

FRAMES, SIZE = 307, 200
STAGES = ["dequeue", "send", "deliver", "host", "complete"]
PKTGEN = 42  # bytes of Ethernet, IPv4 and UDP before pktgen's own header: magic, sequence number, time
MAGIC = 0xBE9BE955


@pytest.fixture(scope="module")
def network(index: Index) -> Iterator[Network]:
    with open_network("virtio-net-pci", "tap", "qemu", choose_accelerator()) as network:
        yield network


@pytest.fixture(scope="module")
def run(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every frame sampled, recorded as a person at the terminal does."""
    folder = tmp_path_factory.mktemp("sampled") / "run"
    words = [str(network.guest.pid), "-o", str(folder), "--duration", "300", "--sample", "1"]
    words += ["--max-overhead", "none"]  # every frame, however slow the machine is
    process = subprocess.Popen(
        [sys.executable, "-m", "qtrace", "record", *words, "--cpu-hertz", "0", "--format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    for line in process.stderr:
        if "counting in process" in line:
            break
    assert frames_to_host(network, FRAMES, SIZE) == FRAMES
    all_passed(network)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    ledger = json.loads(out)["ledger"]
    assert not [row for row in ledger if row["kind"] in ("lost", "missed")], ledger
    return folder


def rows_of(run: Path, direction: str = "tx") -> dict[int, list[dict[str, Any]]]:
    frames: dict[int, list[dict[str, Any]]] = {}
    for row in RunReader.open(run).table("samples").to_pylist():
        if row["direction"] == direction:
            frames.setdefault(row["frame"], []).append(row)
    return frames


def test_each_frame_is_the_same_one_at_every_stage(run: Path, network: Network) -> None:
    frames = rows_of(run)
    numbers = []
    for rows in frames.values():
        rows.sort(key=lambda row: row["time_ns"])
        assert [row["position"] for row in rows] == sorted(row["position"] for row in rows)
        assert [row["stage"] for row in rows if row["frames"]] == STAGES
        seen = set()
        for row in rows:
            if row["stage"] in ("send", "deliver"):
                data = bytes.fromhex(row["data"])[row["header"] :]
                assert row["bytes"] - row["header"] == len(data) == SIZE
                assert data[:6].hex(":") == network.link.host_mac
                magic, number = struct.unpack_from(">II", data, PKTGEN)
                assert magic == MAGIC
                seen.add(number)
            else:
                assert not row["data"]
        assert len(seen) == 1
        numbers += seen
    # pktgen numbers its frames itself: all of them are there, each once and in order.
    assert numbers == list(range(1, FRAMES + 1))
    told = RunReader.open(run).table("frames").to_pylist()
    assert [row["matched"] for row in told if row["direction"] == "tx"] == [FRAMES]


def test_a_rate_is_kept_and_what_is_passed_over_is_counted(
    network: Network, attacher: Attacher, index: Index
) -> None:
    cell = Cell("virtio-net-pci", "tap", "qemu", None, "rr")
    paths = make_brief([cell], {"": index}, "", ()).paths_of(cell)
    with attacher.attach(network.guest.pid, paths) as session:
        sampler = session.add(FrameSamples(3, most=5))
        session.start()
        assert frames_to_host(network, FRAMES) == FRAMES
        all_passed(network)
        session.stop()
        begun = sum(row["frames"] for row in session.read().tables()["frames"])
        chosen = len({(hit.way, hit.began) for hit in sampler.hits()})
        ledger = {row["item"]: row["count"] for row in sampler.ledger()}
        assert ledger["frames"] == 3
        assert chosen + ledger["frames passed over"] == -(-begun // 3)
        assert 5 <= chosen < begun // 3
        session.start()  # a new window has nothing of the old one
        session.stop()
        assert sampler.hits() == []


def test_what_was_under_way_at_a_pause_is_unmatched(
    network: Network, attacher: Attacher, index: Index
) -> None:
    cell = Cell("virtio-net-pci", "tap", "qemu", None, "rr")
    paths = make_brief([cell], {"": index}, "", ()).paths_of(cell)
    with attacher.attach(network.guest.pid, paths) as session:
        session.start()
        for _ in range(2):
            assert frames_to_host(network, FRAMES) == FRAMES
            turn(network)  # what waits in the guest's ring only would be taken in the pause
            session.pause()
            assert frames_to_host(network, 10) == 10  # nobody looks
            turn(network)
            session.resume()
        session.stop()
        tables = session.read().tables()
    (sent,) = (row for row in tables["frames"] if row["direction"] == "tx")
    (taken,) = (row for row in tables["stages"] if (row["direction"], row["stage"]) == ("tx", "dequeue"))
    # Each that was taken is matched, or was under way when counting ceased.
    assert sent["matched"] + sent["unmatched"] == sent["frames"] and not sent["ambiguous"]
    assert sent["matched"] + sent["unmatched"] >= 2 * FRAMES and sent["unmatched"] <= 4
    assert abs(sent["frames"] - taken["frames"]) <= 2


def export(run: Path, form: str, out: Path) -> subprocess.CompletedProcess[str]:
    words = ["export", str(run), "--to", form, "-o", str(out)]
    return subprocess.run(
        [sys.executable, "-m", "qtrace", *words], capture_output=True, text=True, timeout=300
    )


def test_the_timeline_is_of_the_trace_event_format(run: Path, tmp_path: Path) -> None:
    said = export(run, "perfetto", tmp_path / "trace.json")
    assert said.returncode == 0, said.stderr
    data = json.loads((tmp_path / "trace.json").read_text())
    assert data["displayTimeUnit"] == "ns" and data["otherData"]["id"] == "run"
    events = data["traceEvents"]
    assert {event["ph"] for event in events} <= {"M", "X", "s", "f"}
    assert all(isinstance(event["pid"], int) and isinstance(event["tid"], int) for event in events)
    named = {event["tid"] for event in events if event["name"] == "thread_name"}
    tracks: dict[int, list[tuple[int, int]]] = {}
    stages: Counter[str] = Counter()
    for event in events:
        if event["ph"] == "X":
            begin, length = round(event["ts"] * 1e3), round(event["dur"] * 1e3)
            assert begin >= 0 and length > 0
            tracks.setdefault(event["tid"], []).append((begin, begin + length))
            stages[event["name"]] += 1
    assert tracks.keys() <= named
    assert {stages[f"{stage} (tx)"] for stage in STAGES} == {FRAMES}
    for slices in tracks.values():  # they nest, or the viewer shows something else
        around: list[int] = []
        for begin, end in sorted(slices, key=lambda piece: (piece[0], -piece[1])):
            while around and around[-1] <= begin:
                around.pop()
            assert not around or end <= around[-1]
            around.append(end)
    arrows = Counter((event["id"], event["ph"]) for event in events if event["ph"] in "sf")
    assert set(arrows.values()) <= {1} and len({mark for mark, _ in arrows}) * 2 == len(arrows)


def blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, body) of each block of a little-endian pcapng section; strict."""
    while data:
        kind, length = struct.unpack_from("<II", data)
        assert length % 4 == 0 and 12 <= length <= len(data)
        assert struct.unpack_from("<I", data, length - 4)[0] == length
        yield kind, data[8 : length - 4]
        data = data[length:]


def options(data: bytes) -> dict[int, bytes]:
    found = {}
    while data:
        code, length = struct.unpack_from("<HH", data)
        if not code:
            assert not length and len(data) == 4
            break
        found[code] = data[4 : 4 + length]
        data = data[4 + (length + 3) // 4 * 4 :]
    return found


def test_packets_are_the_frames_with_their_times(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "frames.pcapng"
    said = export(run, "pcapng", out)
    assert said.returncode == 0, said.stderr
    (first, head), *rest = blocks(out.read_bytes())
    assert first == 0x0A0D0D0A and struct.unpack_from("<IHH", head) == (0x1A2B3C4D, 1, 0)
    names = []
    sequence, before = [], 0
    for kind, body in rest:
        if kind == 1:
            link, _, snaplen = struct.unpack_from("<HHI", body)
            said_of = options(body[8:])
            assert (link, snaplen, said_of[9]) == (1, 256, b"\x09")  # Ethernet, 10^-9 s
            names.append(said_of[2].decode())
            continue
        assert kind == 6
        number, high, low, captured, original = struct.unpack_from("<IIIII", body)
        when, name = high << 32 | low, names[number]
        assert when >= before and captured == min(original, 256)
        before = when
        told = options(body[20 + (captured + 3) // 4 * 4 :])
        if name.endswith(" tx"):
            assert original == SIZE and struct.unpack("<I", told[2])[0] == 2  # outbound
            sequence.append(struct.unpack_from(">I", body, 20 + PKTGEN + 4)[0])
            comment = told[1].decode()
            assert all(f"{stage} +" in comment for stage in STAGES), comment
    assert sorted(names) == ["net0 rx", "net0 tx"]
    assert sequence == list(range(1, FRAMES + 1))
    clock = RunReader.open(run).meta["clock"]
    started = min(row["time_ns"] for rows in rows_of(run).values() for row in rows)
    shown = struct.unpack_from("<IIIII", next(body for kind, body in rest if kind == 6))
    assert (shown[1] << 32 | shown[2]) - started == clock["unix_ns"] - clock["monotonic_ns"]


@pytest.mark.needs("tcpdump")
def test_other_programs_read_the_packets(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "frames.pcapng"
    assert export(run, "pcapng", out).returncode == 0
    words = ["tcpdump", "-Z", "root", "-n", "--nano", "-r", str(out), "udp dst port 9"]
    said = subprocess.run(words, capture_output=True, text=True, timeout=300, check=True)
    lines = said.stdout.splitlines()
    assert len(lines) == FRAMES and all("UDP, length 158" in line for line in lines)
    if shutil.which("tshark"):
        words = ["tshark", "-r", str(out), "-Y", "pktgen and not icmp", "-T", "fields", "-e", "pktgen.seqnum"]
        words += ["-e", "frame.comment"]
        told = subprocess.run(words, capture_output=True, text=True, timeout=300, check=True).stdout
        fields = [line.split("\t") for line in told.splitlines()]
        assert [int(number) for number, _ in fields] == list(range(1, FRAMES + 1))
        assert all("complete +" in comment for _, comment in fields)


def test_what_cannot_be_exported_is_said(run: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("precious")
    bare = tmp_path / "bare"
    with RunWriter.create(bare, {"venue": "host", "conditions": {}, "paths": [], "plan": {}}):
        pass
    for source, out, says in (
        (run, there, "exists already"),
        (bare, tmp_path / "new", "has no sampled frames"),
        (tmp_path / "nothing", tmp_path / "new", "is not a run"),
        (run, tmp_path / "no" / "folder", "cannot write"),
    ):
        for form in ("perfetto", "pcapng"):
            said = export(source, form, out)
            assert said.returncode == 1 and says in said.stderr, said.stderr
            assert "Traceback" not in said.stderr
    assert there.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bare", "there"]
    missing = subprocess.run(
        [sys.executable, "-m", "qtrace", "export", str(run)], capture_output=True, text=True, timeout=300
    )
    assert missing.returncode == 2 and "--to" in missing.stderr
