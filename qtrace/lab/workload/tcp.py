"""TCP throughput with iperf3: server in the namespace, client in the guest, one direction at a time."""

from __future__ import annotations

from typing import Any

from qtrace.errors import LabError
from qtrace.lab.link.connection import Network
from qtrace.lab.workload.iperf3 import ask_iperf3
from qtrace.lab.workload.workload import Measured, Metric, Workload, measured
from qtrace.model import PLAIN, Direction, Setting

__all__ = ["PORT", "SERVER", "WORKLOAD", "tcp"]

PORT = 5201
SERVER = ("iperf3", "-s", "-p", str(PORT))
METRICS = (
    Metric("throughput", "bit/s", "more", headline=True),
    Metric("bytes", "byte"),
    Metric("retransmits", "segment", "less"),
)


def tcp(
    network: Network, direction: Direction | None, seconds: float, setting: Setting = PLAIN
) -> tuple[list[Measured], dict[str, Any]]:
    """`throughput` (bit/s, at the receiver), `bytes` (received) and, where the sender's system tells them,
    `retransmits`, of all streams; and iperf3's own JSON. The setting's size is that of one write.

    `SERVER` must run in the network's namespace.
    """
    reverse = " -R" if direction is Direction.RX else ""
    command = f"iperf3 -c {network.link.host_addr} -p {PORT} -t {max(1, round(seconds))}{reverse}"
    command += f" -l {setting.size}" if setting.size else ""
    command += f" -P {setting.streams}" if setting.streams > 1 else ""
    raw = ask_iperf3(network, command, seconds)
    try:
        received, sent = raw["end"]["sum_received"], raw["end"]["sum_sent"]
        values: dict[str, float | None] = {
            "throughput": float(received["bits_per_second"]),
            "bytes": float(received["bytes"]),
            "retransmits": float(sent["retransmits"]) if "retransmits" in sent else None,
        }
    except (KeyError, TypeError, ValueError) as exc:
        raise LabError(f"iperf3's answer lacks {exc}") from exc
    return measured(METRICS, values), raw


WORKLOAD = Workload(
    "tcp", SERVER, PORT, ("iperf3",), METRICS, tcp, directed=True, seconds=5.0, axes=("size", "streams")
)
