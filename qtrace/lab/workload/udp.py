"""UDP datagrams with iperf3, at a rate or as fast as they go, one direction at a time; each lost one is
counted."""

from __future__ import annotations

from typing import Any

from qtrace.errors import LabError
from qtrace.lab.link.connection import Network
from qtrace.lab.workload.iperf3 import ask_iperf3
from qtrace.lab.workload.workload import Measured, Metric, Workload, measured
from qtrace.model import PLAIN, Direction, Setting

__all__ = ["PORT", "SERVER", "WORKLOAD", "udp"]

PORT = 5202
SERVER = ("iperf3", "-s", "-p", str(PORT))
METRICS = (
    Metric("datagram_rate", "1/s", "more", headline=True),
    Metric("udp_throughput", "bit/s", "more"),
    Metric("bytes", "byte"),
    Metric("datagrams_sent", "datagram"),
    Metric("datagrams_received", "datagram"),
    Metric("datagrams_lost", "datagram", "less"),
)
_SIZE = 1400  # bytes of payload: one frame at Ethernet's MTU


def udp(
    network: Network, direction: Direction | None, seconds: float, setting: Setting = PLAIN
) -> tuple[list[Measured], dict[str, Any]]:
    """`datagram_rate` (received, 1/s), `udp_throughput` (bit/s of payload, received), `bytes` (received), and
    the datagrams sent, received and lost; and iperf3's own JSON.

    The seconds are the longer ones of both ends: a receiver that got nothing for a while counts fewer.

    The sender counts what it sent, the receiver what it received. iperf3's own `lost_packets` are the gaps
    between those that came: it lacks the last ones. `SERVER` must run at the other end.
    """
    reverse = " -R" if direction is Direction.RX else ""
    command = (
        f"iperf3 -u -c {network.link.host_addr} -p {PORT} -t {max(1, round(seconds))}{reverse} "
        f"-b {setting.rate} -l {setting.size or _SIZE}"
    )
    raw = ask_iperf3(network, command, seconds)
    try:
        sent, came = raw["end"]["sum_sent"], raw["end"]["sum_received"]
        received = int(came["packets"]) - int(came["lost_packets"])
        took = max(float(sent["seconds"]), float(came["seconds"]))
        values = {
            "datagram_rate": received / took,
            "udp_throughput": 8 * float(came["bytes"]) / took,
            "bytes": float(came["bytes"]),
            "datagrams_sent": float(sent["packets"]),
            "datagrams_received": float(received),
            "datagrams_lost": float(int(sent["packets"]) - received),
        }
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as exc:
        raise LabError(f"iperf3's answer lacks {exc}") from exc
    return measured(METRICS, values), raw


WORKLOAD = Workload(
    "udp", SERVER, PORT, ("iperf3",), METRICS, udp, directed=True, standard=False, axes=("size", "rate")
)
