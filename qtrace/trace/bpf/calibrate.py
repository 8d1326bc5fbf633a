"""Measures the cost of a hit on this host: programs of qtrace on a function of qtrace, called in a loop.

A hit directly after another finds everything in the caches; a hit during QEMU's work does not, and takes up
to three times as long (docs/overhead.md). So both are measured, and the cost for a budget lies between them.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtrace.errors import TraceError
from qtrace.probes.common import NO_SLOT
from qtrace.probes.qemu_function import Rule
from qtrace.trace.bpf.attachments import Attachments
from qtrace.trace.bpf.running import ALL, NOTHING

__all__ = ["ASSUMED", "Cost", "Price", "calibrate"]

_BATCHES = 11
_CALLS, _STEPPED_CALLS, _WORKING_CALLS = 500, 100, 200
_LINE = 64  # bytes of a cache line
_WORK, _MOST_WORK = (
    2 << 20,
    8 << 20,
)  # bytes of a working set: the default if the cache's size is unknown, and the maximum
# x86-64 code, each function at an address of its own: functions that begin with a push (the same without a
# probe), one that begins with an instruction that the kernel cannot emulate, and one that writes to an
# invalid descriptor; then a loop that calls the first argument as often as the second says, and after each
# call writes to as many cache lines as the fourth says, from the third on.
_PUSH, _BARE, _MOVE, _SYSTEM, _LOOP = 0, 16, 32, 48, 128
_CODE = {
    _PUSH: "53 5b c3",
    _BARE: "53 5b c3",
    _MOVE: "8b 04 24 c3",
    _SYSTEM: "b8 01 00 00 00 bf ff ff ff ff 0f 05 c3",
    _LOOP: "53 55 41 54 41 55 50 48 89 fb 48 89 f5 49 89 d4 49 89 cd ff d3 4c 89 e0 4c 89 e9 48 85 c9 74 0d "
    "48 83 00 01 48 83 c0 40 48 ff c9 75 f3 48 ff cd 75 e1 58 41 5d 41 5c 5d 5b c3",
}


@dataclass(frozen=True, slots=True)
class Price:
    """Processor seconds of one event: `warm`, directly after another, and `cold`, after `apart` seconds of
    other work, which has replaced the cache's content."""

    warm: float
    cold: float
    apart: float

    def at(self, gap: float) -> float:
        """The price with `gap` seconds between two events on average; it grows with the gap from `warm` to
        `cold`."""
        return self.warm + (self.cold - self.warm) * min(1.0, gap / self.apart)

    def __str__(self) -> str:
        return f"{1e6 * self.warm:.2f} µs one after the other, {1e6 * self.cold:.2f} µs amid other work"


@dataclass(frozen=True, slots=True)
class Cost:
    """The price of a `hit` of a function's probe, the additional seconds if its instruction is single-stepped
    (`step`), and the price of a counted system `call`. `measured` is false if they are only assumed."""

    hit: Price
    step: float
    call: Price
    measured: bool = True

    def __str__(self) -> str:
        how = "measured at the start" if self.measured else "assumed: it could not be measured"
        step = f"{1e6 * self.step:.2f} µs more where it must be single-stepped"
        return f"{self.hit}, {step}; of a system call {self.call} ({how})"


# The prices of a slow virtual machine, so that a budget is undershot rather than exceeded.
ASSUMED = Cost(Price(2e-6, 5e-6, 25e-6), 15e-6, Price(1e-6, 1e-6, 25e-6), measured=False)


def calibrate(module: Any) -> Cost:
    """Measure with the programs of `module`, a bcc module that traces nothing now. Takes a third of a second.

    Raises TraceError, for example if this process may not map code.
    """
    with _code() as (path, base), contextlib.closing(Attachments(module, os.getpid())) as attached:
        work = _Work(base)
        _aim(module, base)
        try:
            plain = work.median(_SYSTEM, _CALLS)
            attached.raw_tracepoint("on_sys_exit", "sys_exit")
            call = max(0.0, work.median(_SYSTEM, _CALLS) - plain)
            for place in (_PUSH, _MOVE):
                attached.uprobe("on_function", path, place)
            hit = work.hit()
            stepped = work.median(_MOVE, _STEPPED_CALLS)
        finally:
            _aim(module, 0)
    # The additional cost of a system call amid other work is too small to be measured.
    colder = hit.cold / hit.warm if hit.warm else 1.0
    return Cost(hit, max(0.0, stepped - hit.warm), Price(call, call * colder, hit.apart))


class _Work:
    """The loop, and a memory area of twice the second-level cache's size for it to go through."""

    def __init__(self, base: int) -> None:
        self._base = base
        self._loop = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p, ctypes.c_long] * 2)(base + _LOOP)
        self._memory = ctypes.create_string_buffer(_working_set())

    def hit(self) -> Price:
        """The additional seconds of a probed function over the bare one: the median of alternating batches,
        so that neither a change of the machine's speed nor other load counts."""
        took: dict[tuple[int, bool], list[float]] = {}
        self.each(_BARE, 1, amid=True)  # allocates the memory
        for _ in range(_BATCHES):
            for function in (_BARE, _PUSH):
                took.setdefault((function, False), []).append(self.each(function, _CALLS))
                took.setdefault((function, True), []).append(self.each(function, _WORKING_CALLS, amid=True))
        warm, cold = (
            statistics.median(
                probed - bare for probed, bare in zip(took[_PUSH, amid], took[_BARE, amid], strict=True)
            )
            for amid in (False, True)
        )
        return Price(max(0.0, warm), max(0.0, warm, cold), statistics.median(took[_BARE, True]))

    def median(self, function: int, times: int) -> float:
        """The median of several batches of `each`."""
        return statistics.median(self.each(function, times) for _ in range(_BATCHES))

    def each(self, function: int, times: int, amid: bool = False) -> float:
        """Seconds of this thread for one call, with `amid` amid other work."""
        lines = len(self._memory) // _LINE if amid else 0
        began = time.thread_time()
        self._loop(self._base + function, times, ctypes.addressof(self._memory), lines)
        return (time.thread_time() - began) / times


def _working_set() -> int:
    """Bytes of memory that exceed the second-level cache of a processor."""
    try:
        size = Path("/sys/devices/system/cpu/cpu0/cache/index2/size").read_text().strip()
        return min(2 * int(size.removesuffix("K")) << 10, _MOST_WORK)
    except (OSError, ValueError):
        return _WORK


@contextlib.contextmanager
def _code() -> Iterator[tuple[Path, int]]:
    """A file in memory only, mapped as code: (its path, the address of the mapping)."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    try:
        file = os.memfd_create("qtrace-calibrate")
    except OSError as exc:
        raise TraceError(f"no memory for calibration code:  {exc.strerror}") from exc
    try:
        os.ftruncate(file, mmap.PAGESIZE)
        for place, code in _CODE.items():
            os.pwrite(file, bytes.fromhex(code), place)
        rights = mmap.PROT_READ | mmap.PROT_EXEC
        base = libc.mmap(None, mmap.PAGESIZE, rights, mmap.MAP_PRIVATE, file, 0)
        if base in (None, ctypes.c_void_p(-1).value):
            raise TraceError(f"calibration code may not run:  {os.strerror(ctypes.get_errno())}")
        try:
            yield Path(f"/proc/{os.getpid()}/fd/{file}"), int(base)
        finally:
            libc.munmap(base, mmap.PAGESIZE)
    finally:
        os.close(file)


def _aim(module: Any, base: int) -> None:
    """Make the programs count hits of the code at `base` in this process; with 0, in no process."""
    targets, sites = module[b"targets"], module[b"sites"]
    targets[ctypes.c_int(0)] = targets.Leaf(tgid=os.getpid() if base else 0, running=ALL if base else NOTHING)
    for place in (_PUSH, _MOVE) if base else ():
        sites[ctypes.c_uint64(base + place)] = sites.Leaf(rule=Rule.CALLS, sender=0, slot=(0, NO_SLOT))
