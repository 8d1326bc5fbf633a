"""How a QEMU and its network stand at one moment, beside what a window counts: kept with a run.

Facts of the process (descriptors against their limit, how long threads waited for a processor), of each NIC
(features, queues, links, filters, as its memory has them) and of the host's taps. All of it is JSON.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qtrace.errors import TargetError
from qtrace.measure.measured_nic import MeasuredNic
from qtrace.measure.qemu_process import QemuProcess
from qtrace.trace.qemu.net_clients import NetClient
from qtrace.trace.qemu.owners import Owner, Owners
from qtrace.trace.qemu.taps import read_taps

__all__ = ["process_state"]

# Of a client: addresses in QEMU's memory mean nothing to a reader.
_PRIVATE = {"address", "peer", "objects", "virtqueues", "rings", "vectors"}
_VHOST = "dev/vhost-net"
_NOFILE = "Max open files"


def process_state(process: QemuProcess, nics: Sequence[MeasuredNic]) -> dict[str, Any]:
    """What there is now; an empty dict where the process has ended. Nothing is asked of QEMU itself."""
    pid, owners = process.pid, Owners()
    with contextlib.suppress(TargetError):  # its memory may not be read: what /proc has is told
        owners.update(process.clients())
    found = {
        "descriptors": _descriptors(pid),
        "threads": _threads(pid),
        "taps": [asdict(tap) for tap in read_taps(pid)],
        "host": {"processors": os.cpu_count(), "vhost_net": _has_vhost(pid)},
        "nics": {one.name: _nic(one, [owner for owner in owners if one.owns(owner)]) for one in nics},
    }
    return found if process.target.alive() else {}


def _nic(one: MeasuredNic, owners: Sequence[Owner]) -> dict[str, Any]:
    return {
        "nic": one.nic.nic,
        "netdev": one.nic.netdev,
        "netdev_id": one.nic.id,
        "hub": one.nic.hub,
        "vhost_asked": one.nic.vhost_asked,
        "queues": [
            {"queue": owner.queue, "near": _client(owner.clients[0]), "far": _client(owner.clients[1])}
            for owner in owners
        ],
    }


def _client(client: NetClient) -> dict[str, Any]:
    return {name: value for name, value in asdict(client).items() if name not in _PRIVATE}


def _descriptors(pid: int) -> dict[str, int | None]:
    """How many there are, how many of them are sockets, and how many may be (the soft limit)."""
    links = []
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                links.append(str(entry.readlink()))
    limit: int | None = None
    with contextlib.suppress(OSError, ValueError, IndexError, StopIteration):
        rows = Path(f"/proc/{pid}/limits").read_text().splitlines()
        limit = int(next(row for row in rows if row.startswith(_NOFILE))[len(_NOFILE) :].split()[0])
    return {
        "open": len(links),
        "sockets": sum(link.startswith("socket:") for link in links),
        "limit": limit,
    }


def _threads(pid: int) -> dict[str, dict[str, float | str]]:
    """Thread id -> seconds that it ran and that it waited for a processor (/proc's schedstat)."""
    found: dict[str, dict[str, float | str]] = {}
    for task in Path(f"/proc/{pid}/task").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            ran, waited, _ = (task / "schedstat").read_text().split()
            name = (task / "comm").read_text().strip()
            found[task.name] = {"name": name, "ran": int(ran) / 1e9, "waited": int(waited) / 1e9}
    return found


def _has_vhost(pid: int) -> bool | None:
    """Whether the process's own files have the device."""
    try:
        return Path(f"/proc/{pid}/root", _VHOST).exists()
    except OSError:
        return None
