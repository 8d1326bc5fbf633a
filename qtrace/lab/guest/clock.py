"""The clock of an emulated guest: told how fast its counter is, and held against this host's.

TCG's guest reads the host's own time-stamp counter (QEMU's cpu_get_host_ticks). Its kernel would measure how
fast that is against an emulated timer while it boots, which on a busy host comes out wrong by up to five
times: every second of such a guest is then a fifth of one, and every rate that it measures five times as
much.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Reading", "clock_fault", "counter_words", "read_clock", "tsc_khz"]

# rdtsc; shl rdx, 32; or rax, rdx; ret
_READ = bytes.fromhex("0f31 48c1e220 4809d0 c3")
_SECONDS = 0.05
_TRIES = 200
_SHARE, _STEP = 0.03, 0.03  # of a second's length, and s: /proc/uptime has hundredths


@dataclass(frozen=True, slots=True)
class Reading:
    """A guest's uptime in s, read between two moments of the host's clock in s."""

    guest: float
    earliest: float
    latest: float


def read_clock(sh: Callable[[str], str]) -> Reading:
    """Now; `sh` runs a command in the guest. Raises LabError."""
    earliest = time.monotonic()
    guest = float(sh("cat /proc/uptime").split()[0])
    return Reading(guest, earliest, time.monotonic())


def clock_fault(before: Reading, after: Reading) -> str:
    """Why a guest cannot have measured rates and times between two readings; empty if its clock is right."""
    guest = after.guest - before.guest
    least, most = after.earliest - before.latest, after.latest - before.earliest
    if least * (1 - _SHARE) - _STEP <= guest <= most * (1 + _SHARE) + _STEP:
        return ""
    host = (least + most) / 2
    return f"the guest's clock is wrong: {guest:.2f} s passed in it and {host:.2f} s on the host"


def counter_words(accelerator: str) -> str:
    """What an emulated guest's kernel is told of its counter on its command line, with a space before; empty
    if it measures that itself."""
    khz = tsc_khz() if accelerator == "tcg" else None
    return f" tsc_early_khz={khz}" if khz else ""


@functools.cache
def tsc_khz() -> int | None:
    """The frequency of this host's time-stamp counter in kHz, measured; None if it has none that can be
    read."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return None
    try:
        code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:  # a policy against memory that is written and executed
        return None
    code.write(_READ)
    place = ctypes.c_char.from_buffer(code)
    read: Callable[[], int] = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(place))
    began = _moment(read)
    while time.monotonic_ns() - began[1] < _SECONDS * 1e9:
        time.sleep(_SECONDS / 10)
    ended = _moment(read)
    return round((ended[0] - began[0]) * 1e6 / (ended[1] - began[1]))


def _moment(read: Callable[[], int]) -> tuple[int, int]:
    """The counter and the time (ns) of one moment: of many readings the one that took least."""
    found = []
    for _ in range(_TRIES):
        before = time.monotonic_ns()
        ticks = read()
        after = time.monotonic_ns()
        found.append((after - before, ticks, (before + after) // 2))
    _, ticks, at = min(found)
    return ticks, at
