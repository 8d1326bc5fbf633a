"""Exactly as many frames as asked, one way: what the counts of the tracer are held against."""

from __future__ import annotations

import subprocess
import sys
import time

from qtrace.errors import LabError
from qtrace.lab.network import Network

__all__ = ["frames_to_guest", "frames_to_host"]

# Runs in the namespace: N datagrams of a size to an address, paced so that no queue overflows.
_SENDER = """
import socket, sys, time
host, port, count, size, pause = sys.argv[1], *map(int, sys.argv[2:5]), float(sys.argv[5])
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(count):
    link.sendto(number.to_bytes(4, "big") + bytes(size - 4), (host, port))
    time.sleep(pause)
"""


def frames_to_host(network: Network, count: int, size: int = 200, timeout: float = 120.0) -> int:
    """Send exactly `count` UDP frames of `size` bytes from the guest's driver with the kernel's pktgen.

    pktgen retries while the ring is full, so each is sent once. Gives what pktgen says it sent.
    """
    setting = "\n".join(
        [
            "echo rem_device_all >/proc/net/pktgen/kpktgend_0",
            "echo add_device eth0 >/proc/net/pktgen/kpktgend_0",
            *(
                f"echo {line} >/proc/net/pktgen/eth0"
                for line in (
                    f"count {count}",
                    f"pkt_size {size}",
                    "delay 200000",
                    f"dst {network.link.host_addr}",
                    f"dst_mac {network.link.host_mac}",
                    "udp_dst_min 9",
                    "udp_dst_max 9",
                )
            ),
            "echo start >/proc/net/pktgen/pgctrl",
            "sed -n 's/.*pkts-sofar: \\([0-9]*\\).*/\\1/p' /proc/net/pktgen/eth0",
        ]
    )
    said = network.guest.sh(setting, timeout).strip()
    if not said.isdigit():
        raise LabError(f"pktgen in the guest said: {said[-300:]}")
    return int(said)


def frames_to_guest(
    network: Network, count: int, size: int = 200, pause: float = 0.0005, timeout: float = 120.0
) -> int:
    """Send exactly `count` UDP datagrams from the namespace to the guest's port 9.

    Waits until the guest's NIC has received as many more; gives that number.
    """
    before = network.device_counters()["guest"][1]["rx_packets"]
    host, port = network.link.sink
    argv = network.space.argv(
        [sys.executable, "-c", _SENDER, host, str(port), str(count), str(size - 42), str(pause)]
    )
    said = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
    if said.returncode != 0:
        raise LabError(f"cannot send to {host}:{port}: {said.stderr.strip()[-300:]}")
    deadline = time.monotonic() + 20
    while (got := network.device_counters()["guest"][1]["rx_packets"] - before) < count:
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return got
