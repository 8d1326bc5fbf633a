"""The workload crr counts connections as the kernels at both ends do, and times what it counts."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from qtrace.errors import LabError
from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.link.connection import Network, open_network
from qtrace.lab.workload import crr
from qtrace.lab.workload.server import serve

pytestmark = pytest.mark.needs("root", "tun", "ip", "setpriv", "busybox", "perl", "qemu-system-x86_64")


def tcp_counter(table: str, name: str) -> int:
    """One of the counters of TCP in the text of a /proc/net/snmp."""
    heads, numbers = [line.split() for line in table.splitlines() if line.startswith("Tcp:")]
    return int(numbers[heads.index(name)])


def opened(network: Network) -> tuple[int, int]:
    """Connections so far: accepted in the namespace, begun by the guest."""
    there = Path(f"/proc/{network.guest.pid}/net/snmp").read_text()
    return tcp_counter(there, "PassiveOpens"), tcp_counter(
        network.guest.sh("cat /proc/net/snmp"), "ActiveOpens"
    )


@pytest.mark.parametrize(("nic", "netdev"), [("virtio-net-pci", "tap"), ("e1000", "user")])
def test_each_connection_is_counted_once(nic: str, netdev: str) -> None:
    with open_network(nic, netdev, "qemu", choose_accelerator(), programs=("perl",)) as network:
        with pytest.raises(LabError, match="connect: Connection refused"):
            crr.crr(network, None, 1)
        with serve(network.space, crr.SERVER, crr.PORT):
            before, began = opened(network), time.monotonic()
            metrics, raw = crr.crr(network, None, 2)
            took = time.monotonic() - began
            accepted, begun = (now - old for now, old in zip(opened(network), before, strict=True))
    values = {name: value for name, value, _ in metrics}
    assert values["connections"] + 1 == accepted == begun  # and the one that warms up
    assert values["connections"] > 0
    assert 2 <= raw["seconds"] < took
    assert values["connection_rate"] == pytest.approx(values["connections"] / raw["seconds"])
    # One at a time: they fill the time, but for perl's own between them.
    assert 0.5 < values["connections"] * values["crr_mean"] / 1e6 / raw["seconds"] <= 1
    assert 0 < values["crr_p50"] <= values["crr_p90"] <= values["crr_p99"]
    assert values["crr_p50"] <= 2 * values["crr_mean"]
