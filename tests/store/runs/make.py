"""Make a run with `record` and one with `bench`: `make.py FOLDER INDEX`, as root.

INDEX is one with the libraries in it, such as 7.2.22+libraries. What is kept of them is in README.md.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from frames import frames_from

from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.link.connection import Network, open_network
from qtrace.lab.link.tap import open_queues

# Device in the guest, queue there, frames: no two the same.
SENT = (("eth0", 0, 31), ("eth1", 0, 11), ("eth1", 1, 17), ("eth2", 0, 13))
HELD = 7  # sent to the first NIC while the guest is stopped
PLAN = """name = "small"
title = "one NIC on a tap"
repetitions = 2
seed = 1
[seconds]
tcp = 2.0
rr = 2.0
[baseline]
netdev = "tap"
datapath = "qemu"
[[cells]]
nic = "virtio-net-pci"
netdev = "tap"
directions = ["tx"]
"""
RESCAN = (
    "echo 1 >/sys/bus/pci/rescan; for card in 1 2; do tries=0; "
    "until ip link set eth$card up 2>/dev/null || [ $((tries += 1)) -gt 200 ]; do usleep 50000; done; done"
)


def record(folder: Path, index: str) -> None:
    """A guest with three NICs, each sending what SENT says."""
    with (
        open_network("virtio-net-pci", "tap", "qemu", choose_accelerator(), processors=2) as network,
        open_queues(network.space, "queued", 2) as queues,
    ):
        plug_in(network, queues)
        words = [str(network.guest.pid), "-o", "recorded", "--duration", "300", "--level", "full"]
        words += ["--sample", "8", "--max-overhead", "none", "--index", index]
        process = subprocess.Popen(
            [sys.executable, "-m", "qtrace", "record", *words], stderr=subprocess.PIPE, text=True, cwd=folder
        )
        assert process.stderr and any("counting in process" in line for line in process.stderr)
        send(network)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=90)
        assert not process.returncode, said


def plug_in(network: Network, queues: Sequence[int]) -> None:
    """The second and the third NIC."""
    qmp = network.guest.qmp
    for number, queue in enumerate(queues):
        network.guest.hand_over(f"queue{number}", queue)
    qmp("netdev_add", type="tap", id="net1", fds="queue0:queue1")
    network.space.ip("link", "set", "queued", "up")
    more = {"mq": True, "vectors": 6}
    qmp("device_add", driver="virtio-net-pci", netdev="net1", id="nic1", romfile="", **more)
    qmp("netdev_add", type="user", id="net2")
    qmp("device_add", driver="virtio-net-pci", netdev="net2", id="nic2", romfile="")
    network.guest.sh(RESCAN)


def send(network: Network) -> None:
    """What is counted."""
    for device, queue, frames in SENT:
        assert frames_from(network, device, frames, queue) == frames
    network.guest.qmp("stop")
    with network.space.make(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as link:
        for _ in range(HELD):
            link.sendto(bytes(150), network.link.sink)
    network.guest.qmp("cont")
    network.settle()


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.mkdir(parents=True)
    record(place, sys.argv[2])
    (place / "plan.toml").write_text(PLAN)
    bench = [sys.executable, "-m", "qtrace", "bench", "plan.toml", "-o", "measured"]
    subprocess.run(bench, cwd=place, check=True)
