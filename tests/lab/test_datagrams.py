"""The workloads udp and flood count as the kernels at both ends do."""

from __future__ import annotations

from pathlib import Path

import pytest

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
        guest, host = map(difference, before, both(network))
        assert metrics["echoes_sent"] == guest["Icmp.OutEchos"] == host["Icmp.InEchos"] > 100
        # The last request's answer may come after ping has ended.
        assert 0 <= guest["Icmp.InEchoReps"] - metrics["echoes_received"] <= 1
        assert metrics["echoes_lost"] == metrics["echoes_sent"] - metrics["echoes_received"] <= 1
        assert 0 < metrics["echo_mean"] <= metrics["echo_max"]
        assert metrics["echo_rate"] * metrics["echo_mean"] / 1e6 <= 1.05  # one after the other


def _udp_is_exact(network: Network, way: Direction, setting: Setting) -> None:
    before = both(network)
    values = {name: value for name, value, _ in udp.udp(network, way, 1, setting)[0]}
    guest, host = map(difference, before, both(network))
    sender, receiver = (guest, host) if way is Direction.TX else (host, guest)
    # One datagram of each end comes before: iperf3's greeting and its answer.
    assert values["datagrams_sent"] == sender["Udp.OutDatagrams"] - 1 > 10
    read = receiver["Udp.InDatagrams"] - 1
    # What waits in the socket when iperf3 ends is delivered and not read.
    assert values["datagrams_received"] <= read
    assert values["datagrams_lost"] == values["datagrams_sent"] - values["datagrams_received"]
    assert 0.9 < values["datagrams_received"] / values["datagram_rate"] < 2  # seconds
    assert values["bytes"] == values["datagrams_received"] * (setting.size or 1400)
    if setting.rate:
        # On a busy host a ring may overflow even at this rate: then the kernels say so, too.
        assert values["datagrams_received"] == read
        assert 50 < values["datagrams_sent"] < 120  # of 1400 bytes at 1 Mbit/s
