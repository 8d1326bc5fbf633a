"""What a hit costs on this host: our own programs on a function of our own, called in a loop."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtrace.errors import TraceError
from qtrace.trace.attach import Attachments
from qtrace.trace.session import ALL, NOTHING

__all__ = ["ASSUMED", "Cost", "calibrate"]

_BATCHES = 5
_CALLS, _STEPPED_CALLS, _SYSTEM_CALLS = 1000, 200, 2000
# x86-64, each at a place of its own: functions that begin with a push and with an instruction that the kernel
# cannot emulate, then loops that call the first argument, or write to no descriptor, as often as the second
# says.
_PUSH, _MOVE, _LOOP, _SYSTEM_LOOP = 0, 16, 64, 128
_CODE = {
    _PUSH: "53 5b c3",
    _MOVE: "8b 04 24 c3",
    _LOOP: "53 55 48 89 fb 48 89 f5 ff d3 48 ff cd 75 f9 5d 5b c3",
    _SYSTEM_LOOP: "53 48 89 f3 b8 01 00 00 00 bf ff ff ff ff 0f 05 48 ff cb 75 ef 5b c3",
}


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of processor time: a hit of a function's probe, the same where the instruction must be
    `stepped`, a system call that is counted. `measured` is false where they are only assumed.

    In a loop caches are warm and nobody else waits: under load a hit costs more, up to about twice.
    """

    hit: float
    stepped: float
    call: float
    measured: bool = True

    def __str__(self) -> str:
        parts = f"{1e6 * self.hit:.2f} µs, {1e6 * self.stepped:.2f} µs where it must be single-stepped"
        how = "measured at the start" if self.measured else "assumed: it could not be measured"
        return f"{parts}, {1e6 * self.call:.2f} µs a system call ({how})"


# Of a slow virtual machine, so that a budget is kept rather too well.
ASSUMED = Cost(2e-6, 15e-6, 1e-6, measured=False)


def calibrate(module: Any) -> Cost:
    """Measure with the programs of `module`, a bcc module that traces nothing now. Takes a fifth of a second.

    Raises TraceError, for one where this process may not make code of its own.
    """
    with _code() as (path, base), contextlib.closing(Attachments(module, os.getpid())) as attached:
        call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_long)
        loop, system = call(base + _LOOP), call(base + _SYSTEM_LOOP)
        _aim(module, base)
        try:
            plain = _each(lambda: system(0, _SYSTEM_CALLS), _SYSTEM_CALLS)
            attached.raw_tracepoint("on_sys_exit", "sys_exit")
            counted = _each(lambda: system(0, _SYSTEM_CALLS), _SYSTEM_CALLS)
            for place in (_PUSH, _MOVE):
                attached.uprobe("on_function", path, place)
            hit = _each(lambda: loop(base + _PUSH, _CALLS), _CALLS)
            stepped = _each(lambda: loop(base + _MOVE, _STEPPED_CALLS), _STEPPED_CALLS)
        finally:
            _aim(module, 0)
    return Cost(hit, max(hit, stepped), max(0.0, counted - plain))


@contextlib.contextmanager
def _code() -> Iterator[tuple[Path, int]]:
    """A file that exists in memory only, mapped as code: (its path, where it is mapped)."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    try:
        file = os.memfd_create("qtrace-calibrate")
    except OSError as exc:
        raise TraceError(f"no memory for code of our own: {exc.strerror}") from exc
    try:
        os.ftruncate(file, mmap.PAGESIZE)
        for place, code in _CODE.items():
            os.pwrite(file, bytes.fromhex(code), place)
        rights = mmap.PROT_READ | mmap.PROT_EXEC
        base = libc.mmap(None, mmap.PAGESIZE, rights, mmap.MAP_PRIVATE, file, 0)
        if base in (None, ctypes.c_void_p(-1).value):
            raise TraceError(f"code of our own may not run: {os.strerror(ctypes.get_errno())}")
        try:
            yield Path(f"/proc/{os.getpid()}/fd/{file}"), int(base)
        finally:
            libc.munmap(base, mmap.PAGESIZE)
    finally:
        os.close(file)


def _aim(module: Any, base: int) -> None:
    """Let the programs count in this process, at our functions; with 0 in none."""
    targets, sites = module[b"targets"], module[b"sites"]
    targets[ctypes.c_int(0)] = targets.Leaf(tgid=os.getpid() if base else 0, running=ALL if base else NOTHING)
    for place in (_PUSH, _MOVE) if base else ():
        sites[ctypes.c_uint64(base + place)] = sites.Leaf(rule=0, sender=0, slot=(0, 0xFF))


def _each(run: Callable[[], object], times: int) -> float:
    """Seconds of one call: the median of some batches, so that what else runs here does not count."""
    found = []
    for _ in range(_BATCHES):
        began = time.perf_counter()
        run()
        found.append((time.perf_counter() - began) / times)
    return statistics.median(found)
