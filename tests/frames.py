"""Exactly as many frames as asked, one way: what the counts of the tracer are held against; and waiting until
they have passed."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtrace.errors import LabError
from qtrace.lab.host.netns import Counters, read_counters
from qtrace.lab.link.connection import Network

__all__ = [
    "PATIENCE",
    "all_passed",
    "frames_from",
    "frames_to_guest",
    "frames_to_host",
    "tap_counters",
    "turn",
    "until",
]

PATIENCE = 120.0  # seconds for what takes less than one, on a machine whose disk or processors stand still

_AT_ONCE = 16  # frames on the way: half of the smallest ring (pcnet32 has 32 receive buffers)


def frames_to_host(network: Network, count: int, size: int = 200, timeout: float = 300.0) -> int:
    """`frames_from` the guest's first card."""
    return frames_from(network, "eth0", count, size=size, timeout=timeout)


def frames_from(
    network: Network,
    device: str,
    count: int,
    queue: int = 0,
    size: int = 200,
    timeout: float = 300.0,
    delay: int = 200_000,
) -> int:
    """Send exactly `count` UDP frames of `size` bytes from one queue of the guest's `device`, from its driver
    with the kernel's pktgen, one each `delay` ns.

    pktgen retries while the ring is full, so each is sent once. Gives what pktgen says it sent.
    """
    setting = "\n".join(
        [
            "echo rem_device_all >/proc/net/pktgen/kpktgend_0",
            f"echo add_device {device} >/proc/net/pktgen/kpktgend_0",
            *(
                f"echo {line} >/proc/net/pktgen/{device}"
                for line in (
                    f"count {count}",
                    f"pkt_size {size}",
                    f"delay {delay}",
                    f"dst {network.link.host_addr}",
                    f"dst_mac {network.link.host_mac}",
                    "udp_dst_min 9",
                    "udp_dst_max 9",
                    f"queue_map_min {queue}",
                    f"queue_map_max {queue}",
                )
            ),
            "echo start >/proc/net/pktgen/pgctrl",
            f"sed -n 's/.*pkts-sofar: \\([0-9]*\\).*/\\1/p' /proc/net/pktgen/{device}",
        ]
    )
    said = network.guest.sh(setting, timeout).strip()
    if not said.isdigit():
        raise LabError(f"pktgen in the guest said: {said[-300:]}")
    return int(said)


def frames_to_guest(
    network: Network, count: int, size: int = 200, at_once: int = _AT_ONCE, grow: int = 0
) -> int:
    """Send exactly `count` UDP datagrams from the namespace to the guest's port 9, `at_once` at a time, each
    a frame of `size` bytes, or of `grow` more than the one before.

    They are sent when the guest's NIC has received those before. Gives how many it has received.
    """
    before = _received(network)
    link = network.space.make(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sent = 0
    with link:
        while sent < count:
            for number in range(sent, min(sent + at_once, count)):
                try:
                    link.sendto(
                        number.to_bytes(4, "big") + bytes(size - 46 + number * grow), network.link.sink
                    )
                except OSError as exc:
                    raise LabError(f"cannot send to {network.link.sink}: {exc.strerror}") from exc
            sent = min(sent + at_once, count)
            if not _arrived(network, before + sent):
                break
    return _received(network) - before


def _arrived(network: Network, wanted: int) -> bool:
    """Wait for the guest to have received that many; False where nothing more comes."""
    got, deadline = -1, time.monotonic() + PATIENCE
    while (now := _received(network)) < wanted:
        if now > got:
            got, deadline = now, time.monotonic() + PATIENCE
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def _received(network: Network) -> int:
    return network.device_counters()["guest"][1]["rx_packets"]


def until(true: Callable[[], Any], what: str, seconds: float = PATIENCE) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.02)


def turn(network: Network) -> None:
    """QEMU's main loop handles all that its descriptors and bottom halves have: twice, for what one of them
    leaves to the next turn. A monitor's command is executed by this very loop, with QEMU's lock held."""
    for _ in range(2):
        network.guest.qmp("query-status")


def all_passed(network: Network, look: Callable[[], object] | None = None, pause: float = 0.05) -> None:
    """Wait until two looks, between which QEMU's loop has turned, see the same: by default what all devices
    at both ends have counted, for which the guest's own processor must have had its turn too.

    A mere pause would be over before a QEMU that waits for a processor has taken the frames out of its ring.
    """
    look = look or (lambda: _devices(network))
    last, deadline = None, time.monotonic() + PATIENCE
    while True:
        turn(network)
        if (now := look()) == last:
            return
        assert time.monotonic() < deadline, "the counts do not come to rest"
        last = now
        time.sleep(pause)


def _devices(network: Network) -> tuple[str, str]:
    return network.guest.sh("cat /proc/net/dev"), Path(f"/proc/{network.guest.pid}/net/dev").read_text()


def tap_counters(network: Network) -> Counters:
    """What the tap has counted; nothing is asked of the guest, which may be stopped."""
    table = Path(f"/proc/{network.guest.pid}/net/dev").read_text()
    counters = read_counters(table, network.link.tap or "")
    assert counters
    return counters
