"""Facts of a process from the kernel, for several rooms."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from qtrace.errors import TargetError

__all__ = [
    "Counters",
    "capabilities",
    "command_line",
    "has_device",
    "is_macvtap",
    "is_tun",
    "macvtap_descriptors",
    "read_counters",
    "tap_counters",
    "tap_names",
    "vhost_workers",
]

# The columns of the run format's `devices` table.
Counters = dict[str, int]
_LARGEST = 2**20
_TUN = os.makedev(10, 200)  # linux/miscdevice.h: TUN_MINOR


def command_line(pid: int) -> list[str]:
    """The arguments of a running process. Raises TargetError."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()[:_LARGEST]
    except OSError as exc:
        raise TargetError(f"there is no process {pid}", hint="see 'pgrep -a qemu'") from exc
    return [word.decode(errors="replace") for word in raw.split(b"\0")[:-1]]


def capabilities() -> frozenset[int]:
    """The numbers of this process's own effective capabilities (linux/capability.h)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            held = int(line.split()[1], 16)
            return frozenset(number for number in range(64) if held >> number & 1)
    return frozenset()


def vhost_workers(pid: int) -> list[int]:
    """The thread ids of QEMU's vhost workers, `vhost-<pid>`, oldest first: one for each queue of a tap.

    A worker is a kernel thread, or since Linux 6.4 a thread of the process (kernel/vhost_task.c).
    """
    name = f"vhost-{pid}"[:15]
    found: dict[int, int] = {}
    for entry in (*Path("/proc").glob("[0-9]*"), *Path(f"/proc/{pid}/task").glob("[0-9]*")):
        with contextlib.suppress(OSError):
            if (entry / "comm").read_text().strip() == name:
                began = int((entry / "stat").read_text().rpartition(")")[2].split()[19])
                found[int(entry.name)] = began
    return sorted(found, key=lambda tid: (found[tid], tid))


def read_counters(table: str, device: str) -> Counters | None:
    """The counters of one device in the text of a /proc/net/dev, None if the device is missing."""
    for line in table.splitlines():
        name, _, numbers = line.partition(":")
        if name.strip() == device:
            field = [int(number) for number in numbers.split()]
            return {
                "rx_packets": field[1],
                "rx_bytes": field[0],
                "rx_dropped": field[3],
                "tx_packets": field[9],
                "tx_bytes": field[8],
                "tx_dropped": field[11],
            }
    return None


def has_device(pid: int, device: str) -> bool:
    """Whether the namespace of this process has the device; not after the process has ended."""
    try:
        return read_counters(Path(f"/proc/{pid}/net/dev").read_text(), device) is not None
    except OSError:
        return False


def tap_names(pid: int) -> dict[int, str]:
    """Descriptor -> name of each tap that the process has open."""
    names: dict[int, str] = {}
    for entry in Path(f"/proc/{pid}/fdinfo").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for line in entry.read_text().splitlines():
                if line.startswith("iff:\t"):
                    names[int(entry.name)] = line[5:]
    return names


def is_tun(status: os.stat_result) -> bool:
    """Whether it is /dev/net/tun, wherever its node is."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == _TUN


def is_macvtap(status: os.stat_result) -> bool:
    """Whether it is the device of a macvtap or ipvtap; each has one of its own (drivers/net/macvtap.c)."""
    return stat.S_ISCHR(status.st_mode) and _driver_of(os.major(status.st_rdev)) in ("macvtap", "ipvtap")


def macvtap_descriptors(pid: int) -> list[int]:
    """The descriptors of the process that are macvtaps'. /proc names no interface of theirs."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if is_macvtap(entry.stat()):
                found.append(int(entry.name))
    return sorted(found)


def _driver_of(major: int) -> str:
    """The driver of a character device (proc(5): devices); macvtap's number is given out when it is
    loaded."""
    for line in Path("/proc/devices").read_text().partition("Block devices:")[0].splitlines():
        number, _, name = line.strip().partition(" ")
        if number == str(major):
            return name
    return ""


def tap_counters(pid: int) -> dict[str, Counters]:
    """Name -> counters of each tap that the process has open, if its network namespace has the device: a tap
    whose descriptor was passed to it may be in another namespace."""
    table = ""
    with contextlib.suppress(OSError):
        table = Path(f"/proc/{pid}/net/dev").read_text()
    found = {name: read_counters(table, name) for name in sorted(set(tap_names(pid).values()))}
    return {name: counters for name, counters in found.items() if counters is not None}
