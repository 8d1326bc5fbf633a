"""TCP throughput with iperf3: server in the namespace, client in the guest, one direction at a time."""

from __future__ import annotations

import json
from typing import Any

from qtrace.errors import LabError
from qtrace.lab.network import Network
from qtrace.lab.workload.server import Metric, serve
from qtrace.model import Direction

__all__ = ["tcp"]

_PORT = 5201


def tcp(network: Network, direction: Direction, seconds: float) -> tuple[list[Metric], dict[str, Any]]:
    """`throughput` (bit/s, at the receiver), `bytes` (received), `retransmits`; and iperf3's own JSON."""
    reverse = " -R" if direction is Direction.RX else ""
    command = f"iperf3 -c {network.host_addr} -p {_PORT} -t {max(1, round(seconds))}{reverse} -J"
    with serve(network.space, ["iperf3", "-s", "-1", "-p", str(_PORT)], _PORT):
        status, output = network.guest.try_sh(command, timeout=seconds + 60)
    try:
        raw: dict[str, Any] = json.loads(output)
    except ValueError as exc:
        raise LabError(f"iperf3 in the guest ended with status {status}: {output.strip()[-300:]}") from exc
    if status != 0 or "error" in raw:
        raise LabError(f"iperf3 in the guest: {raw.get('error', f'status {status}')}")
    try:
        received, sent = raw["end"]["sum_received"], raw["end"]["sum_sent"]
        metrics: list[Metric] = [
            ("throughput", float(received["bits_per_second"]), "bit/s"),
            ("bytes", float(received["bytes"]), "byte"),
            ("retransmits", float(sent.get("retransmits", 0)), "segment"),
        ]
    except (KeyError, TypeError, ValueError) as exc:
        raise LabError(f"iperf3's answer lacks {exc}") from exc
    return metrics, raw
