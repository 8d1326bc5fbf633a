"""What is counted inside: bytes that QEMU copies, and what libslirp's TCP sends again.

A known number of frames of a known size has a known number of copies; what libslirp sent again is held
against the frames themselves, which QEMU's own filter-dump has written down before they reached the card.
"""

from __future__ import annotations

import os
import signal
import struct
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
from exact import Kind, Traced, pass_frames, settle
from frames import frames_to_host, until
from tx_header import HEADER, copies_header

from qtrace.binary.symbols.named_bodies import bodies_named
from qtrace.errors import BinaryError, MissingPrerequisite
from qtrace.index.build import ensure_index
from qtrace.index.libraries import fetch_libraries
from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.link.connection import Network, open_network
from qtrace.lab.workload import tcp
from qtrace.lab.workload.server import serve
from qtrace.measure.attacher import Attacher
from qtrace.measure.instruments.copies import Copies
from qtrace.measure.instruments.retransmissions import Retransmissions
from qtrace.measure.qemu_process import QemuProcess
from qtrace.model import Direction
from qtrace.path.walk import walk
from qtrace.progress import SILENT
from qtrace.store.index import Index
from qtrace.trace.session.level import Level
from qtrace.trace.session.session import Session

pytestmark = pytest.mark.needs("root", "bcc", "tun", "qemu-system-x86_64")

FRAMES, SIZE = 307, 200
SERVER_PORT = tcp.PORT


@pytest.fixture(scope="module")
def wide(index: Index, skip_or_fail: Callable[[str], NoReturn]) -> Index:
    """The index with the source of the very libslirp that runs; the plain one stays the current one."""
    try:
        libraries, _ = fetch_libraries(SILENT)
    except MissingPrerequisite as exc:
        skip_or_fail(str(exc))
    made, _ = ensure_index(libraries=libraries)
    ensure_index()
    return made


@contextmanager
def traced(network: Network, attacher: Attacher, index: Index) -> Iterator[Traced]:
    paths = [walk(index, network.nic, network.netdev, direction=way) for way in Direction]
    with attacher.attach(network.guest.pid, paths, Level.FULL) as session:
        yield Traced(Kind(network.nic, network.netdev), network, session)


# (function, calls a frame, bytes a frame beside the frame's own, whether these are copied there too)
# virtio_net_flush_tx may look at the header (`copies_header`); the frame goes from there to writev.
# A descriptor of e1000's has 16 bytes: it is read; then the frame; then four bytes of it (tx), or all of it
# and its status again (rx), are written.
COPIED = {
    ("virtio-net-pci", Direction.TX): ("iov_to_buf_full", 1, HEADER, False),
    ("virtio-net-pci", Direction.RX): ("iov_from_buf_full", 1, 0, True),
    ("e1000", Direction.TX): ("address_space_rw", 3, 16 + 4, True),
    ("e1000", Direction.RX): ("address_space_rw", 4, 16 + 16 + 1, True),
}


@pytest.mark.parametrize("nic", ["virtio-net-pci", "e1000"])
def test_bytes_copied_for_known_frames(nic: str, attacher: Attacher, index: Index) -> None:
    """Of the one card whose frames they are: another one stands beside it."""
    more = ("-netdev", "user,id=net1", "-device", f"{nic},netdev=net1,romfile=,addr=0x1e")
    with (
        open_network(nic, "tap", "qemu", choose_accelerator(), more=more) as network,
        traced(network, attacher, index) as one,
    ):
        copied = one.session.add(Copies(QemuProcess(network.guest.pid, index=index)))
        for way in Direction:
            window = pass_frames(one, way, SIZE, FRAMES)
            snapshot = one.session.read()
            tables = copied.tables(snapshot, [owner.number for owner in snapshot.owners])
            assert one.session.besides(snapshot) == tables  # as a campaign asks
            mine = [row for row in tables["copies"] if row["netdev_id"] == "net0"]
            others = [row for row in tables["copies"] if row["netdev_id"] == "net1"]
            assert others and not any(row["calls"] for row in others)
            for row in mine:
                direction = Direction(row["direction"])
                frames = window.expected[direction]
                function, calls, more_bytes, whole = COPIED[nic, direction]
                if function == "iov_to_buf_full" and not copies_header(index):
                    calls = more_bytes = 0
                assert row["frames"] == frames
                if row["function"] != function:
                    assert not row["calls"]
                    continue
                assert row["attached"] and row["calls"] == calls * frames
                if direction is way:
                    assert row["bytes"] == (more_bytes + whole * SIZE) * frames
            kinds = [row["kind"] for row in tables["ledger"]]
            assert kinds[0] == "not counted" and not {"lost", "unattributed"} & set(kinds)


def test_a_frame_that_is_queued_is_copied_once(attacher: Attacher, index: Index) -> None:
    """Who takes QEMU's datagrams is stopped until its socket has no room left for the next."""
    frames, size = 200, 1400
    with (
        open_network("virtio-net-pci", "socket", "qemu", choose_accelerator(), form="fd") as network,
        traced(network, attacher, index) as one,
        ThreadPoolExecutor(1) as pool,
    ):
        copied = one.session.add(Copies(QemuProcess(network.guest.pid, index=index)))

        def queued() -> dict[str, Any]:
            snapshot = one.session.read()
            rows = copied.tables(snapshot, [owner.number for owner in snapshot.owners])["copies"]
            key = ("tx", "qemu_net_queue_append_iov")
            return next(row for row in rows if (row["direction"], row["function"]) == key)

        helper = network.link.helper
        assert helper
        one.session.start()
        os.kill(helper.pid, signal.SIGSTOP)
        try:
            sending = pool.submit(frames_to_host, network, frames, size)
            until(lambda: queued()["calls"] > 0, "a frame waits")
        finally:
            os.kill(helper.pid, signal.SIGCONT)
        assert sending.result() == frames
        settle(one)
        one.session.stop()
        (waited,) = (
            row["waited"] for row in one.session.read().tables()["frames"] if row["direction"] == "tx"
        )
        assert waited >= 1
        assert (queued()["calls"], queued()["bytes"]) == (waited, waited * size)


@pytest.fixture(scope="module")
def user(index: Index) -> Iterator[Network]:
    # Without the device's status its driver does not learn that the back end's link is down.
    more = ("-global", "virtio-net-device.status=off")
    with (
        open_network("virtio-net-pci", "user", "qemu", choose_accelerator(), more=more) as network,
        serve(network.space, tcp.SERVER, SERVER_PORT),
    ):
        yield network


def again_in(session: Session, again: Retransmissions) -> dict[str, int]:
    snapshot = session.read()
    rows = again.tables(snapshot, [owner.number for owner in snapshot.owners])["retransmissions"]
    assert [row["note"] for row in rows if not row["attached"]] == []
    return {row["kind"]: row["count"] for row in rows}


def test_what_libslirp_sends_again(user: Network, attacher: Attacher, index: Index, wide: Index) -> None:
    """Nothing while all is well; fast, after some have been lost; and as often as its segments say while the
    guest's link is down."""
    with traced(user, attacher, index) as one:
        session = one.session
        again = session.add(Retransmissions(QemuProcess(user.guest.pid, index=wide)))
        with dumped(user) as dump:
            session.start()
            tcp.tcp(user, Direction.RX, 1)
            session.stop()
            counted, seen = again_in(session, again), dump.sent_again()
        # None, but where the guest had no processor for so long that libslirp took its answers for lost.
        times = sum(counted.values())
        assert times <= seen and (times > 0) == (seen > 0)

        # Frames between two that arrive are lost while the back end's link is down.
        with downloading(user), dumped(user) as dump:
            until(lambda: len(dump.segments()) > 100, "a stream passes")
            session.start()

            def lose_some() -> bool:
                for up in (False, True):
                    user.guest.qmp("set_link", name="net0", up=up)
                # Before the next loss the stream has its pace again: without some segments behind the lost
                # one nothing tells of it but a timeout.
                goes_on = len(dump.segments()) + 100
                until(lambda: len(dump.segments()) >= goes_on, "the stream goes on")
                return again_in(session, again)["fast"] > 0

            until(lose_some, "a segment is sent again", 600)
            until(lambda: dump.sent_again() > 0, "it is written down")
            session.stop()
            assert dump.sent_again() >= again_in(session, again)["fast"]

        with downloading(user), dumped(user) as dump:
            until(lambda: len(dump.segments()) > 100, "a stream passes")
            before = dump.sent_again()
            session.start()
            user.guest.sh("ip link set eth0 down")
            try:
                until(lambda: dump.sent_again() - before >= 2, "two timeouts")
                # Without any ACK one segment is sent for each. The next timeout is seconds away, each doubles
                # the one before: these two are the same number, unless this machine stands still between.
                least = dump.sent_again() - before
                session.stop()
                counted, most = again_in(session, again), dump.sent_again() - before
            finally:
                user.guest.sh("ip link set eth0 up")
        assert least <= counted["timeout"] <= most and counted["fast"] == counted["window probe"] == 0


def test_an_index_without_the_library_says_so(user: Network, attacher: Attacher, index: Index) -> None:
    with traced(user, attacher, index) as one:
        again = one.session.add(Retransmissions(QemuProcess(user.guest.pid, index=index)))
        one.session.start()
        one.session.stop()
        snapshot = one.session.read()
        tables = again.tables(snapshot, [owner.number for owner in snapshot.owners])
    assert not any(row["attached"] for row in tables["retransmissions"])
    assert [row["kind"] for row in tables["ledger"]] == ["unattached"]
    assert "qtrace index --libraries" in tables["ledger"][0]["note"]


def test_a_body_that_does_not_call_the_other_is_refused() -> None:
    library = next(Path("/usr/lib").glob("*/libslirp.so.0")).resolve()
    with pytest.raises(BinaryError, match="does not call"):
        bodies_named(library, "tcp_output...", ["sbappend..."])
    with pytest.raises(BinaryError, match="0 functions refer"):
        bodies_named(library, "no such string", [])


@contextmanager
def downloading(network: Network) -> Iterator[None]:
    """A TCP stream to the guest that goes on until the block ends."""
    # Slow, and each segment by itself: others follow a lost one.
    command = f"iperf3 -c {network.link.host_addr} -p {SERVER_PORT} -t 300 -R -b 5M -l 1400"
    network.guest.sh(f"{command} >/dev/null 2>&1 &")
    try:
        yield
    finally:
        network.guest.sh("killall iperf3; while pidof iperf3 >/dev/null; do usleep 50000; done; true")


class Dump:
    """A pcap file of QEMU's that grows: the TCP segments to the guest's iperf3."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def segments(self) -> list[tuple[int, int, int]]:
        """(guest's port, sequence number, bytes) of each that has data, in order."""
        data = self._path.read_bytes() if self._path.exists() else b""
        found, at = [], 24
        while at + 16 <= len(data):
            kept, size = struct.unpack_from("<II", data, at + 8)
            frame = data[at + 16 : at + 16 + kept]
            at += 16 + kept
            if len(frame) < 54 or frame[12:14] != b"\x08\0" or frame[23] != 6:
                continue
            ip, offset = 14 + 4 * (frame[14] & 15), 0
            source, port, sequence = struct.unpack_from(">HHI", frame, ip)
            offset = 4 * (frame[ip + 12] >> 4)
            length = struct.unpack_from(">H", frame, 16)[0] - (ip - 14) - offset
            if source == SERVER_PORT and length > 0 and size >= 54:
                found.append((port, sequence, length))
        return found

    def sent_again(self) -> int:
        """Segments with nothing in them that was not sent before."""
        highest: dict[int, int] = {}
        count = 0
        for port, sequence, length in self.segments():
            end = sequence + length
            before = highest.setdefault(port, sequence)
            if 0 < (end - before) % 2**32 < 2**31:
                highest[port] = end % 2**32
            else:
                count += 1
        return count


@contextmanager
def dumped(network: Network) -> Iterator[Dump]:
    """The first bytes of each frame of the back end's, as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="qtrace-dump-") as name:
        Path(name).chmod(0o777)
        path = Path(name) / "frames.pcap"
        arguments: dict[str, Any] = {"qom-type": "filter-dump", "id": "dump0", "netdev": "net0"}
        network.guest.qmp("object-add", **arguments, file=str(path), maxlen=80)
        try:
            yield Dump(path)
        finally:
            network.guest.qmp("object-del", id="dump0")
