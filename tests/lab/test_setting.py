"""The settings of a cell are what the kernels at both ends then have, and what traffic shows."""

from __future__ import annotations

import math
import re
import subprocess
import time
from pathlib import Path

import pytest
from frames import all_passed

from qtrace.errors import CellError, LabError
from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.guest.guest import QEMU_UID
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
    all_passed(network)
    before = network.device_counters()["tap"][1]
    metrics = {name: value for name, value, _ in tcp.tcp(network, way, 1, network.setting)[0]}
    all_passed(network)
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


def netem(network: Network) -> dict[str, str]:
    """Device -> what the guest's kernel says of its queue: one for each direction."""
    said = network.guest.sh("for one in eth0 ifb0; do /bin/tc -s qdisc show dev $one root; done")
    return dict(zip(("eth0", "ifb0"), re.findall(r"qdisc netem.*\n.*", said), strict=True))


def echoes(network: Network) -> tuple[int, int]:
    """Echo requests that the guest's kernel has sent, and answers that it has received."""
    table = network.guest.sh("cat /proc/net/snmp")
    names, values = (line.split() for line in table.splitlines() if line.startswith("Icmp:"))
    return int(values[names.index("OutEchos")]), int(values[names.index("InEchoReps")])


def test_a_round_trip_and_a_loss_made_on_purpose() -> None:
    setting = Setting(rtt=40.0, loss=30.0)
    with open_network("e1000", "user", "qemu", choose_accelerator(), setting=setting) as network:
        assert all("delay 20ms" in said and "loss 30%" in said for said in netem(network).values())
        before = echoes(network)
        # busybox's ping takes no fractions of a second: 200 at once, each waits for one answer.
        each = f"ping -c 1 -W 2 {network.link.host_addr} >/tmp/$n 2>&1 &"
        network.guest.sh(f"mkdir -p /tmp; for n in $(seq 200); do {each} usleep 10000; done; wait", 300)
        all_passed(network, pause=0.2)  # answers that came too late for a ping, too
        sent, received = (now - old for now, old in zip(echoes(network), before, strict=True))
        times = network.guest.sh("cat /tmp/[0-9]* | sed -n 's/.* time=\\([0-9.]*\\) ms/\\1/p'").split()
    # Each direction loses 30 %. Fewer than 56 or more than 141 come back in one of 10^9 runs (binomial).
    assert sent == 200 and 56 <= received <= 141
    assert 0 < len(times) <= received and min(map(float, times)) >= 40


def test_a_stream_through_a_link_that_loses() -> None:
    """At 1 %, where a connection comes about: seven times in a row one of its first two frames is lost in
    one of 10^12."""
    chance, handed, dropped, again = 0.01, 0, 0, 0.0
    opening = open_network("e1000", "tap", "qemu", choose_accelerator(), setting=Setting(loss=100 * chance))
    with opening as network, serve(network.peer, tcp.SERVER, tcp.PORT):
        until = time.monotonic() + 300
        while dropped < 50 and time.monotonic() < until:
            metrics = {name: value for name, value, _ in tcp.tcp(network, Direction.TX, 2)[0]}
            assert metrics["bytes"] > 0
            again += metrics["retransmits"]
            (counts,) = re.findall(r"Sent \d+ bytes (\d+) pkt \(dropped (\d+)", netem(network)["eth0"])
            dropped = int(counts[1])
            handed = int(counts[0]) + dropped
    # No more than the setting says: Bernstein's inequality, with e^-28 < 10^-12. Fewer, for TCP hands several
    # segments over at once, which netem counts as so many where it sends them and as one where it drops them.
    expected = chance * handed
    assert dropped <= expected + 28 / 3 + math.sqrt((28 / 3) ** 2 + 56 * expected)
    # TCP sends again what was lost, but for the ends of streams and what is iperf3's own: a third at most.
    # Three quarters of 50 would be in one of 10^9.
    assert dropped >= 50 and again > dropped / 4


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
                assert received > 0
                assert size / frames <= 1514  # with offloads, some 20,000
                assert there()[f"{side}_packets"] - before[f"{side}_packets"] >= frames
            metrics = {name: value for name, value, _ in rr.rr(network, None, 2, Setting(size=1024))[0]}
            assert metrics["transactions"] > 0
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
            assert metrics["bytes"] > 0
        if netdev == "stream.passt":
            assert network.link.helper
            status = Path(f"/proc/{network.link.helper.pid}/status").read_text()
            assert re.search(rf"^Uid:(\t{QEMU_UID}){{4}}$", status, re.MULTILINE), status


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
                assert after[side] - before[side] > received > 0
            metrics = {name: value for name, value, _ in rr.rr(network, None, 2)[0]}
            assert metrics["transactions"] > 0
        failing = serve(network.peer, ("iperf3", "--nonsense"), 5999)
        with pytest.raises(LabError, match="nonsense"), failing:
            pass
    assert not Path(f"/proc/{other.pid}").exists()
