"""Putting one BPF program on one place, through BPF links or the kernel's perf events.

Both die with their descriptor, so nothing stays attached if we are killed, and no tracefs is needed. A
breakpoint is put into the traced process alone: another QEMU of the same binary pays nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtrace.errors import TraceError
from qtrace.trace.bpf.links import UPROBE_MULTI, link_uprobe, links_available
from qtrace.trace.bpf.prerequisites import uprobes_refused

__all__ = ["Attachments"]

_ENTRY, _RETURN = 0, 1
_AT_ONCE = 64  # probes that are taken off side by side


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a program runs: at a byte of a file or, without one, at a function of the kernel."""

    program: str
    binary: Path | None
    at: int | str
    at_return: bool

    def __str__(self) -> str:
        return f"{self.binary} at {self.at:#x}" if isinstance(self.at, int) else f"the kernel's {self.at}"


class Attachments:
    """What is attached to process `pid` now; `close` detaches all of it, however far attaching came."""

    def __init__(self, module: Any, pid: int) -> None:
        self._module = module
        self._pid = pid
        self._closers: list[tuple[int, Callable[[int], object]]] = []
        self._probes: dict[_Place, int] = {}  # -> descriptor, -1 when off
        self._tracepoints: list[bytes] = []
        self.programs: dict[str, int] = {}  # name -> descriptor

    def uprobe(self, program: str, binary: Path, offset: int, at_return: bool = False) -> None:
        """At the byte `offset` of the file `binary`, in all threads of the process."""
        self._put(_Place(program, binary, offset, at_return))

    def kprobe(self, program: str, function: str, at_return: bool = False) -> None:
        """At the entry or the return of a kernel function."""
        self._put(_Place(program, None, function, at_return))

    def _put(self, place: _Place) -> None:
        self._probes[place] = self._link(place) if place.binary and links_available() else self._open(place)

    def _link(self, place: _Place) -> int:
        assert place.binary and isinstance(place.at, int)
        loaded = self._load(place.program, UPROBE_MULTI)
        try:
            fd = link_uprobe(loaded, place.binary, place.at, self._pid, place.at_return)
        except OSError as exc:
            raise TraceError(f"the kernel cannot put a probe on {place}: {exc.strerror}") from exc
        return self._keep(fd, place, os.close)

    def _open(self, place: _Place) -> int:
        """As a perf event."""
        from bcc.libbcc import lib

        way = _RETURN if place.at_return else _ENTRY
        if isinstance(place.at, str):
            name = f"qtrace_{place.program}_{place.at}".encode()
            fd = lib.bpf_attach_kprobe(self._load(place.program), way, name, place.at.encode(), 0, 0)
        else:
            if reason := uprobes_refused():
                raise TraceError(reason)
            assert place.binary
            where = bytes(place.binary), place.at
            name = f"qtrace_{place.program}_{place.at:x}".encode()
            fd = lib.bpf_attach_uprobe(self._load(place.program), way, name, *where, self._pid, 0)
        return self._keep(fd, place, lib.bpf_close_perf_event_fd)

    def raw_tracepoint(self, program: str, event: str) -> None:
        """At a kernel tracepoint, without its formatted record."""
        try:
            self._module.attach_raw_tracepoint(tp=event.encode(), fn_name=program.encode())
        except Exception as exc:
            raise TraceError(f"cannot attach to the tracepoint {event}: {exc}") from exc
        self._tracepoints.append(event.encode())

    def missed(self) -> dict[str, int]:
        """Program -> hits that the kernel dropped because the program was running already."""
        found = {}
        for name, fd in self.programs.items():
            for line in Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines():
                if line.startswith("recursion_misses:"):
                    found[name] = int(line.split()[1])
        return found

    @property
    def functions(self) -> bool:
        """Whether any function has a probe, on or off."""
        return bool(self._probes)

    def withdraw(self) -> None:
        """Take off all probes of functions; `restore` puts them back."""
        going = list(self._probes.values())
        self._probes = dict.fromkeys(self._probes, -1)
        self._take_off(going)

    def restore(self) -> None:
        """Put back what `withdraw` took off. Raises TraceError."""
        for place in [place for place, fd in self._probes.items() if fd < 0]:
            self._put(place)

    def drop(self, binary: Path | None, at: int | str) -> None:
        """Take off the probes at this byte of the file, or at this function of the kernel; forget them."""
        gone = [place for place in self._probes if (place.binary, place.at) == (binary, at)]
        self._take_off([self._probes.pop(place) for place in gone])

    def _take_off(self, descriptors: Iterable[int]) -> None:
        """Detach these. The kernel waits each time until nobody runs the program any more; side by side it
        waits once for all."""
        wanted = set(descriptors)
        going = [item for item in self._closers if item[0] in wanted]
        if not going:
            return
        self._closers = [item for item in self._closers if item[0] not in wanted]
        with ThreadPoolExecutor(min(len(going), _AT_ONCE)) as pool:
            for fd, closer in going:
                pool.submit(closer, fd)

    def close(self) -> None:
        """Detach everything. Can be called twice."""
        self._take_off([fd for fd, _ in self._closers])
        while self._tracepoints:
            self._module.detach_raw_tracepoint(self._tracepoints.pop())

    def _load(self, program: str, attach_type: int = -1) -> int:
        try:
            function = self._module.load_func(program.encode(), self._module.KPROBE, attach_type=attach_type)
        except Exception as exc:
            raise TraceError(f"the kernel refuses the program {program}: {exc}") from exc
        self.programs[program] = function.fd
        return int(function.fd)

    def _keep(self, fd: int, where: _Place, closer: Callable[[int], object]) -> int:
        if fd < 0:
            raise TraceError(f"the kernel cannot put a probe on {where}")
        self._closers.append((fd, closer))
        return fd
