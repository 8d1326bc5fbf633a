"""iperf3 in the guest, for the workloads that it makes: its answer as JSON, or why there is none."""

from __future__ import annotations

import json
from typing import Any

from qtrace.errors import LabError
from qtrace.lab.link.connection import Network

__all__ = ["ask_iperf3"]


def ask_iperf3(network: Network, command: str, seconds: float) -> dict[str, Any]:
    """What `command`, an iperf3 that runs for these seconds, answers. Raises LabError with its own reason."""
    status, output = network.guest.try_sh(f"{command} -J", timeout=seconds + 120)
    try:
        raw: dict[str, Any] = json.loads(output)
    except ValueError as exc:
        raise LabError(f"iperf3 in the guest ended with status {status}: {output.strip()[-300:]}") from exc
    if status != 0 or "error" in raw:
        raise LabError(f"iperf3 in the guest: {raw.get('error', f'status {status}')}")
    return raw
