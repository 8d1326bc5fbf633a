"""Putting one BPF program on one place, through BPF links or the kernel's perf events.

Both die with their descriptor, so nothing stays attached if we are killed, and no tracefs is needed. A
breakpoint is put into the traced process alone: another QEMU of the same binary pays nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from qtrace.errors import TraceError
from qtrace.trace.links import UPROBE_MULTI, link_uprobe, links_available
from qtrace.trace.prerequisites import uprobes_refused

__all__ = ["Attachments"]

_ENTRY, _RETURN = 0, 1
_AT_ONCE = 64  # probes that are taken off side by side


class Attachments:
    """What is attached to process `pid` now; `close` detaches all of it, however far attaching came."""

    def __init__(self, module: Any, pid: int) -> None:
        self._module = module
        self._pid = pid
        self._closers: list[tuple[int, Callable[[int], object]]] = []
        self._uprobes: dict[tuple[str, Path, int, bool], int] = {}  # what, where -> descriptor, -1 when off
        self._tracepoints: list[bytes] = []
        self.programs: dict[str, int] = {}  # name -> descriptor

    def uprobe(self, program: str, binary: Path, offset: int, at_return: bool = False) -> None:
        """At the byte `offset` of the file `binary`, in all threads of the process."""
        key = program, binary, offset, at_return
        self._uprobes[key] = self._put(program, binary, offset, at_return)

    def _put(self, program: str, binary: Path, offset: int, at_return: bool) -> int:
        where = f"{binary} at {offset:#x}"
        if links_available():
            loaded = self._load(program, UPROBE_MULTI)
            try:
                fd = link_uprobe(loaded, binary, offset, self._pid, at_return)
            except OSError as exc:
                raise TraceError(f"the kernel cannot put a probe on {where}: {exc.strerror}") from exc
            return self._keep(fd, where, os.close)
        from bcc.libbcc import lib

        if reason := uprobes_refused():
            raise TraceError(reason)
        name = f"qtrace_{program}_{offset:x}".encode()
        way = _RETURN if at_return else _ENTRY
        fd = lib.bpf_attach_uprobe(self._load(program), way, name, bytes(binary), offset, self._pid, 0)
        return self._keep(fd, where, lib.bpf_close_perf_event_fd)

    def kprobe(self, program: str, function: str, at_return: bool = False) -> None:
        """At the entry or the return of a kernel function."""
        from bcc.libbcc import lib

        name = f"qtrace_{program}_{function}".encode()
        way = _RETURN if at_return else _ENTRY
        fd = lib.bpf_attach_kprobe(self._load(program), way, name, function.encode(), 0, 0)
        self._keep(fd, f"the kernel's {function}", lib.bpf_close_perf_event_fd)

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
    def uprobes(self) -> int:
        """How many are on now."""
        return sum(fd >= 0 for fd in self._uprobes.values())

    def withdraw(self) -> None:
        """Take off all uprobes; `restore` puts them back."""
        going = list(self._uprobes.values())
        self._uprobes = dict.fromkeys(self._uprobes, -1)
        self._take_off(going)

    def restore(self) -> None:
        """Put back what `withdraw` took off. Raises TraceError."""
        for key, fd in self._uprobes.items():
            if fd < 0:
                self._uprobes[key] = self._put(*key)

    def drop(self, binary: Path, offset: int) -> None:
        """Take off the uprobes at this place and forget them."""
        gone = [key for key in self._uprobes if key[1:3] == (binary, offset)]
        self._take_off([self._uprobes.pop(key) for key in gone])

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

    def _keep(self, fd: int, where: str, closer: Callable[[int], object]) -> int:
        if fd < 0:
            raise TraceError(f"the kernel cannot put a probe on {where}")
        self._closers.append((fd, closer))
        return fd
