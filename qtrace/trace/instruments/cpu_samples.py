"""What the target's threads execute, sampled by the clock of each processor (probes/cpu.bpf.c)."""

from __future__ import annotations

import ctypes
import os
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qtrace.errors import TraceError
from qtrace.probes.cpu import In
from qtrace.trace.bpf.kernel_calls import PERF_EVENT
from qtrace.trace.bpf.perf_events import open_clock
from qtrace.trace.qemu.target import Mapping as Span
from qtrace.trace.qemu.target import Target

__all__ = ["GENERATED", "KERNEL", "NOWHERE", "CpuPlace", "CpuSampler"]

# Stand for a file: the kernel, code that QEMU has made itself (TCG's translation of the guest's), none known.
KERNEL, GENERATED, NOWHERE = "[kernel]", "[guest code]", "[unknown]"

_GUARD = 65536  # TCG's buffer is in regions with a page without rights between them


@dataclass(frozen=True, slots=True)
class CpuPlace:
    """A place that a thread was seen at: the byte `offset` of the mapped file `file`, or one of the names in
    brackets, then without an offset."""

    thread: int
    file: str
    offset: int


class CpuSampler:
    """Takes `hertz` samples a second on each processor, of the threads of `target` only."""

    def __init__(self, module: Any, target: Target, hertz: int) -> None:
        self._module, self._target, self.hertz = module, target, hertz
        self._events: list[int] = []
        self._spans: list[Span] = []

    def open(self) -> None:
        """Attach to every processor that is online. Raises TraceError."""
        from bcc.utils import get_online_cpus

        self._module[b"cpu_samples"].clear()
        program = self._module.load_func(b"on_cpu_clock", PERF_EVENT).fd
        for cpu in get_online_cpus():
            try:
                self._events.append(open_clock(program, self.hertz, cpu))
            except OSError as exc:
                reason = f"the kernel gives no clock event for processor {cpu}: {exc.strerror}"
                raise TraceError(reason) from exc

    def begin(self) -> None:
        """Forget the window before, and look where the generated code is."""
        self._module[b"cpu_samples"].clear()
        self._spans = [span for span in self._target.mappings() if span.executable]
        made = sorted(_joined(self._spans), key=lambda pair: pair[0] - pair[1])
        table = self._module[b"cpu_generated"]
        for index in range(len(table)):
            first, end = made[index] if index < len(made) else (0, 0)
            table[ctypes.c_int(index)] = table.Leaf(first=first, end=end)

    def samples(self) -> Mapping[CpuPlace, int]:
        """How many samples of this window each place has."""
        # What was loaded meanwhile, and what is gone again.
        spans = {span.first: span for span in [*self._spans, *self._target.mappings()] if span.executable}
        ordered = sorted(spans.values(), key=lambda span: span.first)
        found: dict[CpuPlace, int] = {}
        for at, count in self._module[b"cpu_samples"].items():
            file, offset = _place(int(at.address), ordered)
            place = CpuPlace(int(at.thread), file, offset)
            found[place] = found.get(place, 0) + int(count.value)
        return found

    def close(self) -> None:
        """Detach everything. Can be called twice."""
        while self._events:
            os.close(self._events.pop())


def _joined(spans: Sequence[Span]) -> list[tuple[int, int]]:
    """(first, end) of the memory that no file is behind, neighbours as one."""
    found: list[tuple[int, int]] = []
    for span in spans:
        if span.name:
            continue
        if found and span.first - found[-1][1] <= _GUARD:
            found[-1] = found[-1][0], span.end
        else:
            found.append((span.first, span.end))
    return found


def _place(address: int, spans: Sequence[Span]) -> tuple[str, int]:
    """(file or its stand-in, offset) of an address as the program wrote it."""
    if address == In.KERNEL:
        return KERNEL, 0
    if address == In.GUEST:
        return GENERATED, 0
    at = bisect(spans, address, key=lambda span: span.first) - 1
    if at < 0 or address >= spans[at].end:
        return NOWHERE, 0
    span = spans[at]
    if not span.name:
        return GENERATED, 0
    return span.name, address - span.first + span.offset if span.name.startswith("/") else 0
