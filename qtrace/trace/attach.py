"""Putting one BPF program on one place, through the kernel's perf events.

A perf event dies with its descriptor, so nothing stays attached if we are killed, and no tracefs is
needed. A breakpoint is put into the traced process alone: another QEMU of the same binary pays nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtrace.errors import TraceError
from qtrace.trace.prerequisites import uprobes_refused

__all__ = ["Attachments"]

_ENTRY, _RETURN = 0, 1


class Attachments:
    """What is attached now; `close` detaches all of it, however far attaching came."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._events: list[int] = []
        self._tracepoints: list[bytes] = []
        self.programs: dict[str, int] = {}  # name -> descriptor

    def uprobe(self, program: str, pid: int, binary: Path, offset: int, at_return: bool = False) -> None:
        """At the byte `offset` of the file `binary`, in all threads of process `pid`."""
        from bcc.libbcc import lib

        if reason := uprobes_refused():
            raise TraceError(reason)
        name = f"qtrace_{program}_{offset:x}".encode()
        way = _RETURN if at_return else _ENTRY
        fd = lib.bpf_attach_uprobe(self._load(program), way, name, bytes(binary), offset, pid, 0)
        self._keep(fd, f"{binary} at {offset:#x}")

    def kprobe(self, program: str, function: str, at_return: bool = False) -> None:
        """At the entry or the return of a kernel function."""
        from bcc.libbcc import lib

        name = f"qtrace_{program}_{function}".encode()
        way = _RETURN if at_return else _ENTRY
        fd = lib.bpf_attach_kprobe(self._load(program), way, name, function.encode(), 0, 0)
        self._keep(fd, f"the kernel's {function}")

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

    def close(self) -> None:
        """Detach everything. Can be called twice."""
        from bcc.libbcc import lib

        while self._events:
            lib.bpf_close_perf_event_fd(self._events.pop())
        while self._tracepoints:
            self._module.detach_raw_tracepoint(self._tracepoints.pop())

    def _load(self, program: str) -> int:
        try:
            function = self._module.load_func(program.encode(), self._module.KPROBE)
        except Exception as exc:
            raise TraceError(f"the kernel refuses the program {program}: {exc}") from exc
        self.programs[program] = function.fd
        return int(function.fd)

    def _keep(self, fd: int, where: str) -> None:
        if fd < 0:
            raise TraceError(f"the kernel cannot put a probe on {where}")
        self._events.append(fd)
