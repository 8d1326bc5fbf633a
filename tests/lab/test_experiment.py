"""Scripts, shapes, and what tells one packet from another: without a guest."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from qtrace.errors import LabError
from qtrace.lab.experiment.capture import Capture, Place
from qtrace.lab.experiment.hops import count_matching, find_hops, packets
from qtrace.lab.experiment.lab_script import load_script, script_names, typed_programs
from qtrace.lab.experiment.transcript import Entry, read_transcript, shape, write_transcript
from qtrace.lab.mode.mode import load_mode

MARKER = b"hello-from-vm1"
HEAD = 'mode = "user"\n[probe]\non = "vm1"\nrun = "x"\nmarker = "x"\n'
STEP = '[[step]]\nname = "a"\non = "vm1"\nrun = "x"\n'


def udp(payload: bytes, source: str = "10.0.0.1") -> bytes:
    """An Ethernet frame with a datagram, its checksums zero."""
    addresses = bytes(map(int, source.split("."))) + bytes((10, 0, 0, 2))
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(payload), 1, 0, 64, 17, 0) + addresses
    return bytes(12) + b"\x08\x00" + ip + struct.pack("!HHHH", 4000, 7, 8 + len(payload), 0) + payload


def pcap(path: Path, *frames: bytes) -> Path:
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    path.write_bytes(head + b"".join(struct.pack("<IIII", 9, 0, len(f), len(f)) + f for f in frames))
    return path


def test_every_script_is_of_a_mode_that_is_there() -> None:
    assert script_names() == ["socket", "tap", "user", "virtio"]
    for name in script_names():
        script = load_script(name)
        assert load_mode(script.mode).most >= script.guests and script.probe.marker in script.probe.run


def test_a_lab_s_guests_have_what_a_reader_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a post's programs those that this machine has, and of another mode's none."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert typed_programs("user") == ()
    for name in ("ethtool", "tcpdump"):
        (tmp_path / name).touch(0o755)
    assert typed_programs("user") == ("ethtool", "tcpdump")
    assert "ethtool" in typed_programs("tap-nat") and typed_programs("hubport") == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            HEAD.replace("vm1", "vm9") + STEP,
            "vm9",
        ),
        (
            HEAD + STEP.replace("run", "rum"),
            "rum",
        ),
        ('mode = "user"\nsteps = 1\nstep = []\n', "steps"),
        ("mode", "script"),
    ],
)
def test_what_no_script_may_say_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(LabError, match=said):
        load_script(str(tmp_path / "mine.toml"))


def test_an_unknown_script_is_refused_with_those_that_are_there() -> None:
    with pytest.raises(LabError, match="no script 'nonsense'") as caught:
        load_script("nonsense")
    assert "user" in caught.value.hint


def test_two_runs_of_a_ping_have_one_shape_and_a_lost_one_has_another() -> None:
    first = "64 bytes from 10.0.2.2: seq=0 time=0.730 ms\n64 bytes from 10.0.2.2: seq=1 time=1.5 ms\n"
    assert shape(first) == shape(first.replace("0.730", "12.5").replace("seq=1", "seq=7"))
    assert shape(first) != shape("ping: sendto: Network is unreachable\n")
    here, gone = "tcp 0 0 10.0.2.11:4 10.0.2.2:7 ESTABLISHED\n", "tcp 0 0 10.0.2.11:3 10.0.2.2:7 TIME_WAIT\n"
    assert shape(gone + here) == shape(here) != shape(gone)
    head = "State  Recv-Q Send-Q Local Address:Port  Peer Address:Port"  # of ss, by its release
    assert shape(head) == shape(head + "Process") == shape(head + "  Process ")
    assert shape("link/ether 52:54:00:12:34:01 state UP") == shape("link/ether aa:bb:cc:dd:ee:ff   state UP")


def test_a_transcript_comes_back_as_it_was_written(tmp_path: Path) -> None:
    entries = [
        Entry("a", "vm1", "ip a", "lo\n", 0, False, {"x": "1"}),
        Entry("b", "vm1.monitor", "info network", "", 0),
    ]
    write_transcript(tmp_path, {"mode": "user"}, entries)
    assert read_transcript(tmp_path) == ({"mode": "user"}, entries)
    assert (tmp_path / "transcript.txt").read_text() == "vm1# ip a\nlo\n\n(qemu) info network\n"


@pytest.mark.needs("tcpdump")
def test_a_packet_is_followed_by_its_bytes(tmp_path: Path) -> None:
    sent = udp(MARKER)
    summed = sent[:24] + b"\x12\x34" + sent[26:]
    inside = udp(len(sent).to_bytes(4, "big") + sent, "127.0.0.1")
    places = {
        Place("guest", "vm1", "eth0"): (udp(b"other"), sent),
        Place("netdev", "vm1", "net0"): (sent,),
        Place("host", "host", "lo"): (udp(b"noise"), udp(b"noise"), inside),
        Place("host", "host", "eth0"): (udp(MARKER, "10.20.0.2"),),
        Place("world", "lan", "eth0"): (udp(b"nothing"),),
        Place("netdev", "vm2", "net0"): (summed,),
        Place("netdev", "vm3", "net0"): (bytes(12) + udp(b"other"), bytes(12) + sent),
    }
    files = {place: pcap(tmp_path / f"{place.name}.pcap", *frames) for place, frames in places.items()}
    hops = find_hops(Capture(tmp_path, tuple(files), files), "vm1", MARKER)
    assert [(hop.place.name, hop.relation, hop.number, hop.offset) for hop in hops] == [
        ("vm1-eth0", "first", 2, 0),
        ("vm1-net0", "same", 1, 0),
        ("host-lo", "inside", 3, 46),
        ("host-eth0", "payload", 1, 42),
        ("vm2-net0", "checksum", 1, 0),
        ("vm3-net0", "header", 2, 12),
    ]
    assert "10.0.0.1.4000 > 10.0.0.2.7: UDP, length 14" in hops[0].text
    assert hops[0].data == sent.hex() and hops[0].of == 2
    assert hops[-1].text == hops[0].text and hops[-1].data == (bytes(12) + sent).hex()
    assert len(packets(files[Place("host", "host", "lo")])) == 3
    assert count_matching(files[Place("host", "host", "lo")], "udp and src host 127.0.0.1") == 1


@pytest.mark.needs("tcpdump")
def test_a_packet_that_was_never_sent_is_missed(tmp_path: Path) -> None:
    place = Place("guest", "vm1", "eth0")
    file = pcap(tmp_path / "vm1-eth0.pcap", udp(b"other"))
    with pytest.raises(LabError, match="was not seen in vm1"):
        find_hops(Capture(tmp_path, (place,), {place: file}), "vm1", MARKER)
