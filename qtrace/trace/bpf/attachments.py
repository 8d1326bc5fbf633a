"""Attaches one BPF program to one place, through BPF links or the kernel's perf events.

Both end with their descriptor, so nothing stays attached if qtrace is killed, and no tracefs is needed. A
breakpoint is inserted in the traced process only: another QEMU of the same binary is not slowed down.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtrace.errors import TraceError
from qtrace.trace.bpf.kernel_calls import KPROBE, PERF_EVENT, RAW_TRACEPOINT, on_raw_tracepoint
from qtrace.trace.bpf.links import UPROBE_MULTI, link_uprobe, links_available
from qtrace.trace.bpf.perf_events import open_clock, open_kprobe, open_uprobe
from qtrace.trace.bpf.prerequisites import uprobes_refused

__all__ = ["Attachments"]

_AT_ONCE = 64  # probes that are removed in parallel


@dataclass(frozen=True, slots=True)
class _Place:
    """The place of a program: a byte of a file or, without a file, a function of the kernel; if the kernel
    lacks the function, the first of `instead` that it has."""

    program: str
    binary: Path | None
    at: int | str
    at_return: bool
    instead: tuple[str, ...] = ()

    def __str__(self) -> str:
        if isinstance(self.at, int):
            return f"{self.binary} at {self.at:#x}"
        return f"the kernel's {' or '.join((self.at, *self.instead))}"


class Attachments:
    """All attachments to process `pid`; `close` detaches them, even after a failure half way."""

    def __init__(self, module: Any, pid: int) -> None:
        self._module = module
        self._pid = pid
        self._open_now: set[int] = set()
        self._probes: dict[_Place, int] = {}  # -> descriptor, -1 while removed
        self.programs: dict[str, int] = {}  # name -> descriptor

    def uprobe(self, program: str, binary: Path, offset: int, at_return: bool = False) -> None:
        """Attach at the byte `offset` of the file `binary`, in all threads of the process."""
        self._put(_Place(program, binary, offset, at_return))

    def kprobe(
        self, program: str, function: str, at_return: bool = False, instead: tuple[str, ...] = ()
    ) -> None:
        """Attach at the entry or the return of a kernel function; if the kernel lacks it, at the first of
        `instead` that it has."""
        self._put(_Place(program, None, function, at_return, instead))

    def _put(self, place: _Place) -> None:
        self._probes[place] = self._link(place) if place.binary and links_available() else self._open(place)

    def _link(self, place: _Place) -> int:
        assert place.binary and isinstance(place.at, int)
        loaded = self._load(place.program, KPROBE, UPROBE_MULTI)
        try:
            return self._keep(link_uprobe(loaded, place.binary, place.at, self._pid, place.at_return))
        except OSError as exc:
            raise TraceError(f"the kernel cannot put a probe on {place}: {exc.strerror}") from exc

    def _open(self, place: _Place) -> int:
        """Attach as a perf event."""
        if place.binary and (reason := uprobes_refused()):
            raise TraceError(reason)
        loaded = self._load(place.program, KPROBE)
        first: OSError | None = None
        for at in (place.at, *place.instead):
            try:
                if isinstance(at, str):
                    return self._keep(open_kprobe(loaded, at, place.at_return))
                assert place.binary
                return self._keep(open_uprobe(loaded, place.binary, at, self._pid, place.at_return))
            except OSError as exc:
                first = first or exc
        why = first.strerror if first else ""
        raise TraceError(f"the kernel cannot put a probe on {place}: {why}") from first

    def raw_tracepoint(self, program: str, event: str) -> None:
        """Attach at a kernel tracepoint, without its formatted record."""
        try:
            self._keep(on_raw_tracepoint(self._load(program, RAW_TRACEPOINT), event))
        except OSError as exc:
            raise TraceError(f"cannot attach to the tracepoint {event}: {exc.strerror}") from exc

    def clock(self, program: str, hertz: int) -> None:
        """Attach to the clock ticks of every online processor, whatever it executes."""
        from bcc.utils import get_online_cpus

        loaded = self._load(program, PERF_EVENT)
        for cpu in get_online_cpus():
            try:
                self._keep(open_clock(loaded, hertz, cpu))
            except OSError as exc:
                raise TraceError(
                    f"the kernel gives no clock event for processor {cpu}: {exc.strerror}"
                ) from exc

    def missed(self) -> dict[str, int]:
        """Program -> hits that the kernel dropped because the program was already running."""
        found = {}
        for name, fd in self.programs.items():
            for line in Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines():
                if line.startswith("recursion_misses:"):
                    found[name] = int(line.split()[1])
        return found

    @property
    def functions(self) -> bool:
        """Whether any function has a probe, attached or withdrawn."""
        return bool(self._probes)

    def withdraw(self) -> None:
        """Remove all probes of functions; `restore` attaches them again."""
        going = list(self._probes.values())
        self._probes = dict.fromkeys(self._probes, -1)
        self._take_off(going)

    def restore(self) -> None:
        """Attach the probes again that `withdraw` removed. Raises TraceError."""
        for place in [place for place, fd in self._probes.items() if fd < 0]:
            self._put(place)

    def drop(self, binary: Path | None, at: int | str) -> None:
        """Remove the probes at this byte of the file, or at this function of the kernel, for good."""
        gone = [place for place in self._probes if (place.binary, place.at) == (binary, at)]
        self._take_off([self._probes.pop(place) for place in gone])

    def _take_off(self, descriptors: Iterable[int]) -> None:
        """Detach these probes. For each the kernel waits until no processor runs the program; in parallel it
        waits once for all."""
        going = self._open_now.intersection(descriptors)
        if not going:
            return
        self._open_now -= going
        with ThreadPoolExecutor(min(len(going), _AT_ONCE)) as pool:
            for fd in going:
                pool.submit(os.close, fd)

    def close(self) -> None:
        """Detach everything. Can be called twice."""
        self._take_off(list(self._open_now))

    def _load(self, program: str, kind: int, attach_type: int = 0) -> int:
        function = self._module.load_func(program.encode(), kind, attach_type=attach_type)
        self.programs[program] = function.fd
        return int(function.fd)

    def _keep(self, fd: int) -> int:
        self._open_now.add(fd)
        return fd
