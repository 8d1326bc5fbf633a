"""A known number of frames each way through one NIC and netdev, and what every stage has counted of them.

Used by test_counts.py, which asserts it for some, and by docs/reliability.md, which shows it for all.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from frames import all_passed, frames_to_guest, frames_to_host, until

from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.guest.qemu_program import QemuProgram
from qtrace.lab.host.netns import Counters
from qtrace.lab.link.connection import Network, open_network
from qtrace.lab.workload import tcp
from qtrace.lab.workload.server import serve
from qtrace.measure.attacher import Attacher
from qtrace.model import Direction
from qtrace.path.walk import walk
from qtrace.store.index import Index
from qtrace.trace.session.session import Session
from qtrace.trace.session.snapshot import Snapshot

__all__ = [
    "EACH_FRAME",
    "FRAMES",
    "OTHER_MAC",
    "Kind",
    "Traced",
    "Window",
    "icmp_sent",
    "open_traced",
    "pass_frames",
    "pass_segments",
    "run_window",
    "set_mtu",
    "settle",
    "to_mac",
    "wrong",
]

FRAMES = 1009
OTHER_MAC = "52:54:00:99:99:99"  # nobody's
# A call of the others may stand for many frames (a kick, an interrupt), or for a descriptor and not a frame.
EACH_FRAME = ("dequeue", "send", "deliver", "host", "complete", "enqueue")
RETURNS_FRAMES = {"vde_recv"}  # what it is called with does not tell whether a frame is there


@dataclass(frozen=True)
class Kind:
    """A NIC on a netdev, in a form of `qtrace.lab.link.sockets.FORMS`, maybe behind QEMU's hub."""

    nic: str
    netdev: str
    form: str = ""
    hub: bool = False

    def __str__(self) -> str:
        return "-".join(filter(None, (self.nic, self.netdev, self.form, "hub" if self.hub else "")))

    @property
    def stream(self) -> bool:
        """Whether frames have no boundaries at the host's end: one system call may carry parts or several."""
        return self.netdev == "stream" or self.form in ("listen", "connect", "fd-stream")

    @property
    def at_once(self) -> int:
        """Frames that its guest's driver and card take without losing one."""
        return 8 if self.nic == "ne2k_pci" else 16

    @property
    def echoes(self) -> bool:
        """Whether QEMU hears what it has sent itself: the kernel loops a group's datagrams back."""
        return self.form == "mcast"


@dataclass(frozen=True)
class Traced:
    kind: Kind
    network: Network
    session: Session


@contextlib.contextmanager
def open_traced(
    kind: Kind, attacher: Attacher, index: Index, qemu: QemuProgram | None = None
) -> Iterator[Traced]:
    """The guest, up, with probes on every stage of both directions; in `qemu`, or the installed QEMU."""
    way_of = "socket-stream" if kind.netdev == "socket" and kind.stream else kind.netdev
    paths = [walk(index, kind.nic, way_of, direction=way) for way in Direction]
    with (
        open_network(
            *(kind.nic, kind.netdev, "qemu", choose_accelerator()),
            form=kind.form,
            hub=kind.hub,
            qemu=qemu,
        ) as network,
        attacher.attach(network.guest.pid, paths) as session,
    ):
        yield Traced(kind, network, session)


def icmp_sent(network: Network) -> dict[Direction, int]:
    """ICMP messages that each side has sent: they answer datagrams for a port where nobody listens."""
    said = subprocess.run(
        network.space.argv(["cat", "/proc/net/snmp"]), capture_output=True, text=True, check=True
    )
    return {
        Direction.TX: _out_msgs(network.guest.sh("cat /proc/net/snmp")),
        Direction.RX: _out_msgs(said.stdout),
    }


def _out_msgs(text: str) -> int:
    names, values = (line.split() for line in text.splitlines() if line.startswith("Icmp:"))
    return int(values[names.index("OutMsgs")])


def to_mac(network: Network, mac: str, number: int) -> None:
    """Send so many frames out of the host's tap, to the guest or to whomever; it may drop some."""
    frame = bytes.fromhex(mac.replace(":", "") + "020000000001" + "88b5") + bytes(186)
    with network.space.make(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)) as link:
        link.bind((network.link.tap, 0))
        for _ in range(number):
            try:
                link.send(frame)
            except OSError as exc:
                if exc.errno != errno.ENOBUFS:
                    raise


def settle(traced: Traced, pause: float = 0.1) -> None:
    """Wait until two looks in a row, `pause` seconds apart, see the same counts, and QEMU had its turn
    between."""
    # Frames alone: a USB card is polled all the time.
    all_passed(
        traced.network,
        lambda: {key: count.frames for key, count in traced.session.read().counts.items()},
        pause,
    )


def run_window(
    traced: Traced, send: Callable[[Network, int], int], frames: int = FRAMES
) -> tuple[Snapshot, dict[str, dict[str, int]]]:
    """One window: what was counted in it, and by how much each device counter went up."""
    network, session = traced.network, traced.session
    before = network.device_counters()
    session.start()
    assert send(network, frames) == frames
    settle(traced)
    session.stop()
    after = network.device_counters()
    moved = {
        side: {name: after[side][1][name] - old for name, old in counters.items()}
        for side, (_, counters) in before.items()
    }
    return session.read(), moved


@dataclass
class Window:
    """What one window was to count, by direction, and what stages and devices counted."""

    kind: Kind
    direction: Direction
    frames: int
    expected: dict[Direction, int]
    rows: list[dict[str, Any]]
    ledger: list[dict[str, Any]]
    followed: list[dict[str, Any]]
    devices: dict[str, dict[str, int]] = field(default_factory=dict)
    refused: int = 0  # sends that the host had no room for: QEMU queues the frame and delivers it again
    payload: int = 0  # bytes of TCP
    dropped: int = 0  # datagrams that the kernel had no room for in QEMU's sockets

    def exempt(self, row: dict[str, Any]) -> str:
        """Why a stage's frames are not one each by nature, or empty."""
        if not row["attached"]:
            return f"not measured: {row['note']}"
        if row["stage"] not in EACH_FRAME:
            return "calls"
        if row["stage"] in ("dequeue", "complete", "enqueue") and not row["function"].startswith("virtqueue"):
            return "descriptors"
        if row["stage"] == "host" and self.kind.stream:
            return "a stream: bytes"
        if row["function"] in RETURNS_FRAMES:
            return "polls too"
        if row["function"] == "usbnet_receive" and row["stage"] == "deliver":
            return "tries: it has room for one frame, what it refuses waits in the queue"
        return ""

    def wanted(self, row: dict[str, Any]) -> int:
        """Frames that the stage must have counted."""
        way = Direction(row["direction"])
        count = self.expected[way]
        if self.kind.echoes and way is Direction.RX and row["stage"] != "enqueue":
            count += self.expected[Direction.TX] - self.dropped
        if way is Direction.TX and row["stage"] == "deliver":
            count += self.refused
        return count


def pass_frames(traced: Traced, direction: Direction, size: int = 200, frames: int = FRAMES) -> Window:
    """Send exactly `frames` of `size` bytes one way."""
    network = traced.network
    back = Direction.RX if direction is Direction.TX else Direction.TX
    answers, dropped = icmp_sent(network), _dropped(network)

    def send(net: Network, count: int) -> int:
        before = net.device_counters()
        if direction is Direction.TX:
            sent = frames_to_host(net, count, size)
            until(lambda: _came(net, direction, before) >= sent, "the host has every frame")
        else:
            sent = frames_to_guest(net, count, size, traced.kind.at_once)
        until(lambda: _came(net, back, before) >= _answered(net, back, answers), "the answers have come")
        return sent

    snapshot, moved = run_window(traced, send, frames)
    expected = {direction: frames, back: _answered(network, back, answers)}
    tables = snapshot.tables()
    refused = sum(
        row["errors"]
        for row in tables["syscalls"]
        if (row["fd"], row["name"]) in (("socket", "sendto"), ("socket", "sendmsg"), ("tap", "writev"))
    )
    return Window(
        traced.kind,
        direction,
        frames,
        expected,
        tables["stages"],
        tables["ledger"],
        tables["frames"],
        moved,
        refused=refused,
        dropped=_dropped(network) - dropped,
    )


def _answered(network: Network, way: Direction, before: Mapping[Direction, int]) -> int:
    """The answers that went this way since: it carries nothing else, and their sender has counted them
    itself. libslirp answers no datagram that it passes on."""
    if network.netdev == "user" and way is Direction.RX:
        return 0
    return icmp_sent(network)[way] - before[way]


def _came(network: Network, way: Direction, before: Mapping[str, tuple[str, Counters]]) -> int:
    """Frames that their receiver has counted since: whoever carries them between QEMU and the tap may be
    behind. Where there is no tap it is their sender."""
    side, column = ("guest", "rx_packets") if way is Direction.RX else ("tap", "rx_packets")
    if side not in before:
        side, column = "guest", "tx_packets"
    return network.device_counters()[side][1][column] - before[side][1][column]


def _dropped(network: Network) -> int:
    """Datagrams that the namespace's UDP sockets had no room for (the last column of proc's net/udp)."""
    lines = network.space.make(lambda: Path("/proc/thread-self/net/udp").read_text()).splitlines()[1:]
    return sum(int(line.split()[-1]) for line in lines)


def wrong(window: Window) -> list[str]:
    """What in a window is not exact: stages, loss, the guest's own driver, the host's kernel."""
    found = []
    for row in window.rows:
        if not window.exempt(row) and row["frames"] != window.wanted(row):
            found.append(f"{row['direction']} {row['stage']} {row['frames']} of {window.wanted(row)}")
        if row["attached"] and row["function"] in RETURNS_FRAMES and row["calls"] < window.wanted(row):
            found.append(f"{row['function']} {row['calls']} of {window.wanted(row)}")
    for row in window.followed:
        # Each frame that is followed is seen at its first stage and at its last: none missed, none guessed.
        way = Direction(row["direction"])
        count = window.expected[way]
        heard = window.expected[Direction.TX] - window.dropped
        own = heard if window.kind.echoes and way is Direction.RX else 0  # its own, for nobody here
        # What the card itself then drops is seen by no stage where the last is the hand-over.
        ended = own if row["to_stage"] == "deliver" else 0
        seen = tuple(row[name] for name in ("frames", "matched", "ambiguous", "unmatched"))
        if window.refused or window.payload or "tries" in "".join(map(window.exempt, window.rows)):
            if sum(seen[1:]) != seen[0]:  # in a queue a frame may be lost sight of
                found.append(f"{row['direction']} followed: {seen}")
            if seen[0] < count:
                found.append(f"{row['direction']} followed: {seen} of {count}")
        elif seen != (count + own, count + ended, 0, own - ended):
            found.append(f"{row['direction']} followed: {seen} of {count}")
    found += [f"{row['kind']}: {row['item']}" for row in window.ledger if row["kind"] in ("lost", "missed")]
    for way, count in window.expected.items():
        if window.devices["guest"][f"{way}_packets"] != count:
            if window.payload and way is Direction.TX and window.kind.nic != "virtio-net-pci":
                continue  # the card has cut the guest's large frames itself
            found.append(f"the guest's {way} {window.devices['guest'][f'{way}_packets']} of {count}")
        if "tap" in window.devices:
            mirrored = "rx_packets" if way is Direction.TX else "tx_packets"
            if window.devices["tap"][mirrored] != count:
                found.append(f"the tap's {mirrored} {window.devices['tap'][mirrored]} of {count}")
    return found


def set_mtu(network: Network, mtu: int) -> None:
    """At both ends; some cards lose their link for a while."""
    network.space.ip("link", "set", str(network.link.tap), "mtu", str(mtu))
    wait = (
        'for n in $(seq 400); do [ "$(cat /sys/class/net/eth0/carrier)" = 1 ] && exit 0; usleep 50000; done'
    )
    network.guest.sh(f"ip link set eth0 mtu {mtu}; {wait}; exit 1", timeout=60)


def pass_segments(traced: Traced, direction: Direction, seconds: float = 1.0) -> Window:
    """A TCP stream one way; how many frames it takes is what the tap has counted, once in each direction."""
    network, session = traced.network, traced.session
    with serve(network.space, tcp.SERVER, tcp.PORT):
        before = network.device_counters()
        session.start()
        metrics, _ = tcp.tcp(network, direction, seconds)
        all_passed(network)
        settle(traced)
        session.stop()
        after = network.device_counters()
    moved = {
        side: {name: after[side][1][name] - old for name, old in counters.items()}
        for side, (_, counters) in before.items()
    }
    tables, counted = session.read().tables(), moved["tap"]
    expected = {Direction.TX: counted["rx_packets"], Direction.RX: counted["tx_packets"]}
    return Window(
        traced.kind,
        direction,
        expected[direction],
        expected,
        tables["stages"],
        tables["ledger"],
        tables["frames"],
        moved,
        payload=int({name: value for name, value, _ in metrics}["bytes"]),
    )
