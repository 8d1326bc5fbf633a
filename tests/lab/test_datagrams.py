"""The workloads udp and flood count as the kernels at both ends do."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from frames import all_passed

from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.link.connection import Network, open_network
from qtrace.lab.workload import flood, udp
from qtrace.lab.workload.server import serve
from qtrace.model import Direction, Setting

pytestmark = pytest.mark.needs(
    *("root", "tun", "ip", "setpriv", "busybox", "qemu-system-x86_64", "iperf3", "ping")
)


def counters(table: str) -> dict[str, int]:
    """`Udp.InDatagrams`, `Icmp.InEchos` …, from the text of a /proc/net/snmp."""
    lines = [line.split() for line in table.splitlines()]
    return {
        f"{heads[0]}{name}".replace(":", "."): int(number)
        for heads, numbers in zip(lines[::2], lines[1::2], strict=True)
        for name, number in zip(heads[1:], numbers[1:], strict=True)
    }


def both(network: Network) -> tuple[dict[str, int], dict[str, int]]:
    """Of the guest and of the namespace."""
    here = Path(f"/proc/{network.guest.pid}/net/snmp").read_text()
    return counters(network.guest.sh("cat /proc/net/snmp")), counters(here)


def difference(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {name: after[name] - before[name] for name in before}


def test_every_datagram_and_every_echo_is_counted() -> None:
    programs = ("iperf3", "ping")
    with open_network("e1000", "tap", "qemu", choose_accelerator(), programs=programs) as network:
        with serve(network.space, udp.SERVER, udp.PORT):
            for way in Direction:
                for setting in (Setting(size=64), Setting(rate=1_000_000)):
                    _udp_is_exact(network, way, setting)
        before = both(network)
        metrics = {name: value for name, value, _ in flood.flood(network, None, 1, Setting(size=1000))[0]}
        all_passed(network)  # requests and answers that were under way when ping ended
        guest, host = map(difference, before, both(network))
        assert metrics["echoes_sent"] == guest["Icmp.OutEchos"] == host["Icmp.InEchos"] > 10
        # Every request is answered, and those are lost to ping whose answer came after its end.
        assert guest["Icmp.InEchoReps"] == metrics["echoes_sent"] >= metrics["echoes_received"] > 0
        assert metrics["echoes_lost"] == metrics["echoes_sent"] - metrics["echoes_received"]
        assert 0 < metrics["echo_mean"] <= metrics["echo_max"]
        # One after the other, and one more for each hundredth of a second without an answer: so many are
        # under way on the mean, which is their rate times their mean time (Little's law).
        under_way = metrics["echo_rate"] * metrics["echo_mean"] / 1e6
        assert under_way <= 1.05 * (1 + metrics["echo_max"] / 10_000)


def _udp_is_exact(network: Network, way: Direction, setting: Setting) -> None:
    all_passed(network)
    before, began = both(network), time.monotonic()
    values = {name: value for name, value, _ in udp.udp(network, way, 1, setting)[0]}
    took = time.monotonic() - began
    all_passed(network)
    guest, host = map(difference, before, both(network))
    sender, receiver = (guest, host) if way is Direction.TX else (host, guest)
    # One datagram of each end comes before: iperf3's greeting and its answer.
    assert values["datagrams_sent"] == sender["Udp.OutDatagrams"] - 1 > 10
    read = receiver["Udp.InDatagrams"] - 1
    # What waits in the socket when iperf3 ends is delivered and not read.
    assert values["datagrams_received"] <= read
    assert values["datagrams_lost"] == values["datagrams_sent"] - values["datagrams_received"]
    assert 0.9 < values["datagrams_received"] / values["datagram_rate"] < took  # seconds
    assert values["bytes"] == values["datagrams_received"] * (setting.size or 1400)
    if setting.rate:
        # On a busy host a ring may overflow even at this rate: then the kernels say so, too.
        assert values["datagrams_received"] == read
        # 1400 bytes each at 1 Mbit/s, and not some thousands. A guest that stood still sends fewer.
        assert 10 < values["datagrams_sent"] <= took * setting.rate / (8 * 1400) + 1
