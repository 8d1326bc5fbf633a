"""Counts are exact: a known number of frames each way, and every stage has counted each of them."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from exact import FRAMES, Kind, Traced, open_traced, pass_frames, run_window, settle
from exact import wrong as wrong_in
from frames import frames_to_guest, frames_to_host, tap_counters, until

from qtrace.errors import CellError
from qtrace.lab.link.connection import Network
from qtrace.measure.attacher import Attacher
from qtrace.measure.instruments.frame_samples import FrameSamples, sample_rows
from qtrace.model import Direction
from qtrace.store.index import Index

pytestmark = pytest.mark.needs("root", "bcc", "tun", "qemu-system-x86_64")

# A part of other bodies in Debian's binary, or inline: said so in the ledger.
UNPLACED = {
    "virtio-net-pci": set(),
    "e1000": {"tx dequeue", "tx complete", "rx enqueue"},
    "rtl8139": {"tx dequeue", "tx complete", "rx enqueue"},
}
KINDS = (
    *(Kind("virtio-net-pci", "tap"), Kind("virtio-net-pci", "user"), Kind("e1000", "tap")),
    *(Kind("rtl8139", "user"), Kind("e1000", "socket"), Kind("virtio-net-pci", "vde")),
    Kind("virtio-net-pci", "tap", "macvtap"),
)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(kind, marks=pytest.mark.needs("vde_switch") if kind.netdev == "vde" else ())
        for kind in KINDS
    ],
    ids=str,
)
def traced(request: pytest.FixtureRequest, attacher: Attacher, index: Index) -> Iterator[Traced]:
    with open_traced(request.param, attacher, index) as traced:
        yield traced


@pytest.mark.parametrize("direction", list(Direction))
def test_every_stage_has_counted_every_frame(traced: Traced, direction: Direction) -> None:
    window = pass_frames(traced, direction)
    assert not wrong_in(window)
    # A frame that the host had no room for is delivered again.
    exact = {row["stage"] for row in window.rows if row["frames"] == window.wanted(row) >= FRAMES}
    assert {"send", "deliver"} <= exact


def served(network: Network) -> int:
    """Interrupts of the NIC that the guest's kernel has served."""
    lines = network.guest.sh("grep -E 'eth0|virtio[0-9]+-(input|output)' /proc/interrupts").splitlines()
    return sum(int(line.split()[1]) for line in lines)


def test_interrupts_are_those_that_the_guest_has_served(traced: Traced) -> None:
    before = served(traced.network)
    snapshot, _ = run_window(traced, frames_to_guest)
    by_guest = served(traced.network) - before
    rows = [row for row in snapshot.tables()["stages"] if row["stage"] == "interrupt"]
    by_way = {row["direction"]: row["calls"] for row in rows}
    assert by_guest and by_way["rx"]
    if traced.network.nic == "virtio-net-pci":
        # A message that comes while one waits to be served is not served a second time.
        assert by_guest <= sum(by_way.values()) <= 2 * FRAMES
    else:
        # The driver's masking lowers a pin and its unmasking raises it again, for one frame several times.
        assert sum(by_way.values()) <= 4 * FRAMES


def test_a_back_end_that_is_not_what_was_asked_for_fails(traced: Traced) -> None:
    network = traced.network
    other = "tap" if network.netdev == "user" else "user"
    for wrong, says in (
        ({"netdev": other}, f"asked for the netdev {other}"),
        ({"nic": "ne2k_pci"}, "asked for the NIC ne2k_pci"),
        ({"datapath": "vhost-net"}, "no vhost worker of this QEMU runs"),
    ):
        with pytest.raises(CellError, match=says):
            replace(network, **wrong).verify()
    network.verify()


def test_what_is_not_measured_is_in_the_ledger(traced: Traced) -> None:
    traced.session.start()
    tables = traced.session.read().tables()
    missing = {f"{row['direction']} {row['stage']}" for row in tables["stages"] if not row["attached"]}
    assert missing == UNPLACED[traced.network.nic]
    told = {row["item"].split(":")[0] for row in tables["ledger"] if row["kind"] == "unattached"}
    assert told == missing
    assert not [row for row in tables["ledger"] if row["kind"] in ("lost", "missed")]


def test_bytes_are_the_frames_own(traced: Traced) -> None:
    """200 bytes a frame; a tap's header (struct virtio_net_hdr) and nothing else may come on top."""
    snapshot, _ = run_window(traced, frames_to_host)
    rows = {row["stage"]: row for row in snapshot.tables()["stages"] if row["direction"] == "tx"}
    for stage in ("send", "deliver", "host"):
        row = rows[stage]
        per_frame = row["bytes"] / row["frames"]
        assert per_frame - 200 in (0, 10, 12), (stage, per_frame)


def to_sink(network: Network, number: int) -> None:
    """Send so many datagrams to the guest, whether it takes them or not."""
    link = network.space.make(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with link:
        for datagram in range(number):
            link.sendto(datagram.to_bytes(4, "big") + bytes(154), network.link.sink)


def handed_over(traced: Traced) -> int:
    """Frames to the guest that the back end has handed to QEMU's core."""
    rows = traced.session.read().tables()["stages"]
    return sum(row["frames"] for row in rows if (row["direction"], row["stage"]) == ("rx", "send"))


def test_frames_that_wait_are_followed_or_said_to_be_ambiguous(traced: Traced) -> None:
    """A stopped guest takes no frames: they wait in the tap, in QEMU's queue, or in both."""
    network, session, sent, held = traced.network, traced.session, 7, 0.2

    waiting: list[dict[str, object]] = []

    def send(network: Network, _: int) -> int:
        network.guest.qmp("stop")
        before = tap_counters(network)["tx_packets"] if network.link.tap else 0
        to_sink(network, sent)
        if network.netdev in ("socket", "vde"):  # whoever carries them may be behind
            until(lambda: tap_counters(network)["tx_packets"] >= before + sent, "they have left the tap")
        settle(traced)
        waiting.extend(session.read().tables()["stops"])
        time.sleep(held)  # what the first of them waits for, and not we
        network.guest.qmp("cont")
        return FRAMES

    snapshot, moved = run_window(traced, send)
    assert moved["guest"]["rx_packets"] == sent
    row = next(row for row in snapshot.tables()["frames"] if row["direction"] == "rx")
    assert row["matched"] + row["ambiguous"] + row["unmatched"] == row["frames"] == sent, row
    times = {
        one["bucket"]: one["count"] for one in snapshot.tables()["frame_times"] if one["direction"] == "rx"
    }
    if network.netdev == "tap":  # QEMU reads one frame and then no more, so none is mistaken for another
        assert row["matched"] == sent and row["waited"] == 1
        assert 2.0 ** (max(times) + 1) >= held * 1e9
        (waited,) = (one for one in snapshot.tables()["waits"] if one["direction"] == "rx")
        assert waited["count"] == 1 and 2.0 ** (waited["bucket"] + 1) >= held * 1e9
        assert waited["from_stage"] == "send" and waited["to_stage"] == "deliver"
    assert [one["frames"] for one in waiting if one["direction"] == "rx"] == [row["waited"]]
    assert all("waiting in QEMU's queue" in str(one["why"]) for one in waiting), waiting
    assert not snapshot.tables()["stops"]
    assert row["matched"] in (0, sent), "one of several that waited was taken for another"
    said = {one["kind"]: one["count"] for one in snapshot.tables()["ledger"] if one["item"].startswith("rx ")}
    for kind in ("ambiguous", "unmatched"):
        assert said.get(kind, 0) == row[kind]


def test_sampled_frames_have_their_own_bytes(traced: Traced) -> None:
    """Without the header that a tap's client may put before them: the address and the size are pktgen's."""
    network, session = traced.network, traced.session
    sampler = session.add(FrameSamples(1, most=10**6))
    snapshot, _ = run_window(traced, frames_to_host)
    probes = [stage.probe for stage in snapshot.stages]
    rows = [
        row
        for row in sample_rows(sampler.hits(), probes, snapshot.owners, {})
        if (row["direction"], row["stage"]) == ("tx", "deliver")
    ]
    # What the host had no room for waits in QEMU's queue, and who delivers it then is not who sent it.
    waited = sum(row["waited"] for row in snapshot.tables()["frames"] if row["direction"] == "tx")
    assert len(rows) == FRAMES or 0 < FRAMES - len(rows) <= waited
    for row in rows:
        data = bytes.fromhex(row["data"])[row["header"] :]
        assert data[:6].hex(":") == network.link.host_mac
        assert row["bytes"] - row["header"] == len(data) == 200
    assert not [row for row in snapshot.tables()["ledger"] if row["kind"] == "lost"]


def test_frames_to_a_link_that_is_down_are_dropped_and_said_so(traced: Traced) -> None:
    network, session, sent = traced.network, traced.session, 11
    session.start()
    network.guest.qmp("set_link", name="net0", up=False)
    try:
        to_sink(network, sent)
        until(lambda: handed_over(traced) >= sent, "QEMU has all of them")
        settle(traced)
        session.stop()
        tables = session.read().tables()
    finally:
        network.guest.qmp("set_link", name="net0", up=True)
    (stop,) = (row for row in tables["stops"] if row["direction"] == "rx")
    assert (stop["stage"], stop["frames"]) == ("send", sent)
    assert stop["why"] == "dropped: the link is down at the window's end"
    row = next(row for row in tables["frames"] if row["direction"] == "rx")
    assert (row["frames"], row["unmatched"]) == (sent, sent)
    said = [row for row in tables["ledger"] if row["kind"] == "stopped"]
    assert [(row["count"], row["note"]) for row in said] == [(sent, stop["why"])]
