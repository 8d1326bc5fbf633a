"""The settings of a cell are what the kernels at both ends then have, and what traffic shows."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from qtrace.errors import CellError, LabError
from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.host.netns import read_counters
from qtrace.lab.link.connection import Network, open_network
from qtrace.lab.workload import rr, tcp
from qtrace.lab.workload.server import serve
from qtrace.model import Direction, Setting

pytestmark = [
    pytest.mark.long,
    pytest.mark.needs("root", "tun", "ip", "setpriv", "busybox", "qemu-system-x86_64", "iperf3", "sockperf"),
]


def moved(network: Network, way: Direction) -> tuple[float, dict[str, int]]:
    """Bytes received by the workload tcp in a second, and what the tap counted meanwhile."""
    network.settle()
    before = network.device_counters()["tap"][1]
    metrics = {name: value for name, value, _ in tcp.tcp(network, way, 1, network.setting)[0]}
    network.settle()
    after = network.device_counters()["tap"][1]
    return metrics["bytes"], {key: after[key] - before[key] for key in before}


def test_a_large_mtu_and_two_queues() -> None:
    setting = Setting(mtu=9000, queues=2, streams=2)
    with open_network("virtio-net-pci", "tap", "qemu", choose_accelerator(), setting=setting) as network:
        said = network.guest.sh(
            "nproc; cat /sys/class/net/eth0/mtu; ls -d /sys/class/net/eth0/queues/* | wc -l"
        )
        assert said.split() == ["2", "9000", "4"]  # a queue has two directions
        before = network.device_counters()["tap"][1]
        network.guest.sh(f"ping -c 3 -s 8972 {network.link.host_addr}")
        after = network.device_counters()["tap"][1]
        for side in ("rx", "tx"):  # a fragment would be a frame of its own
            assert after[f"{side}_packets"] - before[f"{side}_packets"] == 3
            assert after[f"{side}_bytes"] - before[f"{side}_bytes"] == 3 * (9000 + 14)
        with serve(network.peer, tcp.SERVER, tcp.PORT):
            _, raw = tcp.tcp(network, Direction.TX, 1, setting)
        assert len(raw["end"]["streams"]) == 2


def test_a_round_trip_and_a_loss_made_on_purpose() -> None:
    setting = Setting(rtt=40.0, loss=30.0)
    with open_network("e1000", "user", "qemu", choose_accelerator(), setting=setting) as network:
        # busybox's ping takes no fractions of a second: 200 at once, each waits for one answer.
        each = f"ping -c 1 -W 2 {network.link.host_addr} >/tmp/$n 2>&1 &"
        network.guest.sh(f"mkdir -p /tmp; for n in $(seq 200); do {each} usleep 10000; done; wait", 60)
        times = network.guest.sh("cat /tmp/[0-9]* | sed -n 's/.* time=\\([0-9.]*\\) ms/\\1/p'").split()
        # Each direction loses 30 %: 98 of 200 come back, and 7 is a standard deviation.
        assert 98 - 5 * 7 <= len(times) <= 98 + 5 * 7
        assert 40 <= sorted(map(float, times))[len(times) // 2] < 60


def test_a_stream_through_a_link_that_loses() -> None:
    """At 5 % a second in which a stream moves nothing is not to be met; at 30 % one of a hundred is."""
    opening = open_network("e1000", "tap", "qemu", choose_accelerator(), setting=Setting(loss=5.0))
    with opening as network, serve(network.peer, tcp.SERVER, tcp.PORT):
        metrics = {name: value for name, value, _ in tcp.tcp(network, Direction.TX, 2)[0]}
    sent = metrics["bytes"] / 1448 + metrics["retransmits"]
    # netem drops what the guest's kernel hands over, several frames at once where it segments by the NIC.
    assert sent > 500 and 0.02 < metrics["retransmits"] / sent < 0.15


def test_offloads_off_and_a_neighbour_behind_the_bridge() -> None:
    setting = Setting(offloads="off", peer="neighbour")
    with open_network("virtio-net-pci", "tap", "qemu", choose_accelerator(), setting=setting) as network:
        assert network.link.far and network.peer == network.link.far != network.space

        def there() -> dict[str, int]:
            assert network.link.far
            table = network.link.far.argv(["cat", "/proc/net/dev"])
            counters = read_counters(subprocess.run(table, capture_output=True, text=True).stdout, "eth0")
            assert counters
            return counters

        with serve(network.peer, tcp.SERVER, tcp.PORT), serve(network.peer, rr.SERVER, rr.PORT):
            for way, side in ((Direction.TX, "rx"), (Direction.RX, "tx")):
                before = there()
                received, tap = moved(network, way)
                frames, size = tap[f"{side}_packets"], tap[f"{side}_bytes"]
                assert received > 1_000_000
                assert size / frames <= 1514  # with offloads, some 20,000
                assert there()[f"{side}_packets"] - before[f"{side}_packets"] >= frames
            metrics = {name: value for name, value, _ in rr.rr(network, None, 2, Setting(size=1024))[0]}
            assert metrics["transactions"] > 10
    assert not Path(network.space.path).exists() and not Path(network.link.far.path).exists()


@pytest.mark.needs("passt")
@pytest.mark.parametrize(
    ("nic", "netdev", "mtu"), [("virtio-net-pci", "stream.passt", 0), ("e1000", "hubport.socket.udp", 576)]
)
def test_further_back_ends_carry_traffic_both_ways(nic: str, netdev: str, mtu: int) -> None:
    opening = open_network(nic, netdev, "qemu", choose_accelerator(), setting=Setting(mtu=mtu))
    with opening as network, serve(network.peer, tcp.SERVER, tcp.PORT):
        for way in Direction:
            metrics = {name: value for name, value, _ in tcp.tcp(network, way, 1)[0]}
            assert metrics["bytes"] > 100_000


def test_a_driver_that_refuses_an_mtu_is_said() -> None:
    opening = open_network("pcnet", "tap", "qemu", choose_accelerator(), setting=Setting(mtu=9000))
    with pytest.raises(CellError, match="the guest's driver takes no MTU of 9000: "), opening:
        pass


def test_from_guest_to_guest() -> None:
    setting = Setting(peer="guest", mtu=1280)
    with open_network("pcnet", "dgram", "qemu", choose_accelerator(), setting=setting) as network:
        other = network.other
        assert other and network.peer is other and other.pid != network.guest.pid
        assert other.sh("cat /sys/class/net/eth0/mtu").strip() == "1280"
        with serve(network.peer, tcp.SERVER, tcp.PORT), serve(network.peer, rr.SERVER, rr.PORT):
            for way in Direction:
                before = read_counters(other.sh("cat /proc/net/dev"), "eth0")
                received = moved(network, way)[0]
                after = read_counters(other.sh("cat /proc/net/dev"), "eth0")
                assert before and after
                side = "rx_bytes" if way is Direction.TX else "tx_bytes"
                assert after[side] - before[side] > received > 100_000
            metrics = {name: value for name, value, _ in rr.rr(network, None, 2)[0]}
            assert metrics["transactions"] > 10
        failing = serve(network.peer, ("iperf3", "--nonsense"), 5999, timeout=1)
        with pytest.raises(LabError, match="nonsense"), failing:
            pass
    assert not Path(f"/proc/{other.pid}").exists()
