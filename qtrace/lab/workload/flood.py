"""A ping flood: the guest sends an echo request as soon as the last was answered, and a hundred a second if
not.

The kernel at the other end answers (with user networking libslirp itself does): no server runs there.
"""

from __future__ import annotations

import re
from typing import Any

from qtrace.errors import LabError
from qtrace.lab.link.connection import Network
from qtrace.lab.workload.workload import Measured, Metric, Workload, measured
from qtrace.model import PLAIN, Direction, Setting

__all__ = ["WORKLOAD", "flood"]

METRICS = (
    Metric("echo_rate", "1/s", "more", headline=True),
    Metric("echo_mean", "us", "less"),
    Metric("echo_max", "us", "less"),
    Metric("echoes_sent", "echo"),
    Metric("echoes_received", "echo"),
    Metric("echoes_lost", "echo", "less"),
)
_SIZE = 56  # bytes after the ICMP header
_COUNTS = re.compile(r"([0-9]+) packets transmitted, ([0-9]+) received.* time ([0-9]+)ms")
_TIMES = re.compile(r"= [0-9.]+/([0-9.]+)/([0-9.]+)/[0-9.]+ ms")


def flood(
    network: Network, direction: Direction | None, seconds: float, setting: Setting = PLAIN
) -> tuple[list[Measured], dict[str, Any]]:
    """`echo_rate` (answered, 1/s), `echo_mean` and `echo_max` (us, whole round trip), and the requests sent,
    answered and lost, as iputils' ping counts them; a request is lost, too, if its answer came after the
    end."""
    # Not busybox's own, which its shell prefers.
    command = (
        f"/bin/ping -f -n -q -w {max(1, round(seconds))} -s {setting.size or _SIZE} {network.link.host_addr}"
    )
    _, output = network.guest.try_sh(command, timeout=seconds + 120)
    counts, times = _COUNTS.search(output), _TIMES.search(output)
    if not counts or not times or not int(counts[3]):
        raise LabError(f"ping's answer cannot be read: {output.strip()[-300:]}")
    sent, received = float(counts[1]), float(counts[2])
    values = {"echo_rate": received / float(counts[3]) * 1000, "echo_mean": float(times[1]) * 1000}
    values |= {"echo_max": float(times[2]) * 1000, "echoes_sent": sent, "echoes_received": received}
    values |= {"echoes_lost": sent - received}
    return measured(METRICS, values), {"command": command, "output": output.splitlines()}


WORKLOAD = Workload("flood", (), 0, ("ping",), METRICS, flood, standard=False, axes=("size",))
