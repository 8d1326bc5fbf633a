"""What passes between a guest and its host while `why` looks."""

from __future__ import annotations

import contextlib
import struct
import time

from bed import Bed
from exact import to_mac
from fault import SECONDS

from qtrace.lab.link.link import MAC
from qtrace.lab.workload import tcp
from qtrace.lab.workload.server import serve
from qtrace.model import Direction

__all__ = [
    "answers",
    "chat",
    "frames_to",
    "restore_tap",
    "sent_by",
    "set_link",
    "stream",
    "tcp_sum_is_right",
]


def chat(bed: Bed, count: int = 20) -> None:
    """Questions and answers, ten a second."""
    bed.network.guest.try_sh(f"ping -q -c {count} -i 0.1 -W 1 {bed.network.link.host_addr}", timeout=60)


def stream(bed: Bed, way: Direction, seconds: float = SECONDS, rate: str = "") -> None:
    """TCP one way, as fast as it goes or at a rate."""
    network = bed.network
    with serve(network.space, tcp.SERVER, tcp.PORT):
        reverse = " -R" if way is Direction.RX else ""
        limit = f" -b {rate}" if rate else ""
        network.guest.try_sh(
            f"iperf3 -c {network.link.host_addr} -p {tcp.PORT} -t {seconds:.0f}{reverse}{limit}",
            timeout=seconds + 60,
        )


def sent_by(bed: Bed, seconds: float, delay: int, queue: int = 0, size: int = 64) -> None:
    """Frames from the guest's driver for so long, one each `delay` ns as far as the guest can."""
    lines = (
        *("count 0", f"pkt_size {size}", f"delay {delay}", f"dst {bed.network.link.host_addr}"),
        *(f"dst_mac {bed.network.link.host_mac}", "udp_dst_min 9", "udp_dst_max 9"),
        *(f"queue_map_min {queue}", f"queue_map_max {queue}"),
    )
    settings = "; ".join(f"echo {line} >/proc/net/pktgen/eth0" for line in lines)
    thread, control = "/proc/net/pktgen/kpktgend_0", "/proc/net/pktgen/pgctrl"
    bed.network.guest.sh(
        f"echo rem_device_all >{thread}; echo add_device eth0 >{thread}; {settings}; "
        f"(echo start >{control} &); sleep {seconds:.0f}; echo stop >{control}",
        timeout=120,
    )


def set_link(bed: Bed, name: str, up: bool) -> None:
    bed.network.guest.qmp("set_link", name=name, up=up)


def answers(bed: Bed) -> None:
    """Wait until the host answers the guest."""
    address = bed.network.link.host_addr
    bed.network.guest.sh(
        f"for n in $(seq 60); do ping -q -c 1 -W 1 {address} >/dev/null && exit 0; done; exit 1", timeout=120
    )


def restore_tap(bed: Bed) -> None:
    link = bed.network.link
    with contextlib.suppress(Exception):  # what is there already is not made twice
        bed.network.space.ip("address", "add", f"{link.host_addr}/24", "dev", "tap0")
    bed.network.space.ip("link", "set", "tap0", "up")
    bed.network.space.ip(
        *("neighbour", "replace", link.guest_addr, "lladdr", MAC, "dev", "tap0", "nud", "permanent")
    )


def frames_to(bed: Bed, count: int) -> None:
    """Frames for the guest's address, spaced."""
    for _ in range(count // 5):
        to_mac(bed.network, MAC, 5)
        time.sleep(0.01)


def tcp_sum_is_right(frame: bytes) -> bool | None:
    """Whether a frame from the guest has the checksum that TCP asks for; None for another frame."""
    if frame[6:12] != bytes.fromhex(MAC.replace(":", "")) or frame[12:14] != b"\x08\x00" or frame[23] != 6:
        return None
    start, end = 14 + 4 * (frame[14] & 15), 14 + struct.unpack_from("!H", frame, 16)[0]
    segment = frame[start:end]
    data = frame[26:34] + struct.pack("!HH", 6, len(segment)) + segment + bytes(len(segment) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total == 0xFFFF
