"""Round trips with sockperf over TCP: one small message at a time, guest to host and back."""

from __future__ import annotations

import re
from typing import Any

from qtrace.errors import LabError
from qtrace.lab.link.connection import Network
from qtrace.lab.workload.workload import Measured, Metric, Workload, measured
from qtrace.model import PLAIN, Direction, Setting

__all__ = ["PORT", "SERVER", "WORKLOAD", "rr"]

PORT = 11111
SERVER = ("sockperf", "server", "--tcp", "-i", "0.0.0.0", "-p", str(PORT))
METRICS = (
    *(Metric(f"rtt_{name}", "us", "less", headline=name == "p50") for name in ("mean", "p50", "p90", "p99")),
    Metric("transactions", "round trip", "more"),
)
_MESSAGE = 64  # bytes
_MEAN = re.compile(r"avg-rtt=([0-9.]+)|Summary: (?:Latency|Round trip) is ([0-9.]+) usec", re.IGNORECASE)
_PERCENTILE = re.compile(r"percentile (50|90|99)\.0*\s*=\s*([0-9.]+)")
_COUNT = re.compile(r"\[Valid Duration\].*ReceivedMessages=([0-9]+)")


def rr(
    network: Network, direction: Direction | None, seconds: float, setting: Setting = PLAIN
) -> tuple[list[Measured], dict[str, Any]]:
    """`rtt_mean`, `rtt_p50`, `rtt_p90`, `rtt_p99` (us, whole round trip) and `transactions`.

    `SERVER` must run in the network's namespace. sockperf uses 0.9 of the `seconds` to warm up.
    """
    command = (
        f"sockperf ping-pong --tcp -i {network.link.host_addr} -p {PORT} -t {max(1, round(seconds))} "
        f"-m {setting.size or _MESSAGE} --full-rtt --no-rdtsc"
    )
    output = network.guest.sh(command, timeout=seconds + 120)
    clean = re.sub(r"\x1b\[[0-9;]*m", "", output)
    mean, count = _MEAN.search(clean), _COUNT.search(clean)
    percentiles = {name: float(value) for name, value in _PERCENTILE.findall(clean)}
    if not mean or not count or percentiles.keys() != {"50", "90", "99"}:
        raise LabError(f"sockperf's answer cannot be read: {clean.strip()[-300:]}")
    values = {"rtt_mean": float(mean[1] or mean[2]), "transactions": float(count[1])}
    values |= {f"rtt_p{name}": value for name, value in percentiles.items()}
    return measured(METRICS, values), {"command": command, "output": clean.splitlines()}


WORKLOAD = Workload(
    "rr", SERVER, PORT, ("sockperf",), METRICS, rr, seconds=2.0, least_seconds=2, axes=("size",)
)
