"""Where a tracer's uprobes are in a process, and what byte stands there: a breakpoint while attached."""

from __future__ import annotations

import ctypes
import errno
import os
from dataclasses import dataclass
from pathlib import Path

from qtrace.measure.probe_list import place_probes
from qtrace.measure.qemu_process import QemuProcess
from qtrace.trace.qemu.target import Target

__all__ = ["INT3", "Places", "program_exists"]

INT3 = 0xCC  # x86's breakpoint instruction
_BPF, _PROG_GET_FD_BY_ID = 321, 13  # asm/unistd_64.h, linux/bpf.h


@dataclass(frozen=True)
class Places:
    """The probed instructions of one process: (file, offset) each."""

    pid: int
    spots: tuple[tuple[Path, int], ...]

    @classmethod
    def of(cls, pid: int) -> Places:
        """Where `record` would put uprobes."""
        process = QemuProcess(pid)
        placed = place_probes(process, process.measured(tracing=False))
        spots = {(Path(item.binary), item.offset) for item in placed if item.binary and not item.reason}
        assert spots
        return cls(pid, tuple(sorted(spots)))

    def of_other(self, pid: int) -> Places:
        """The same instructions in another process of the same files."""
        return Places(pid, self.spots)

    def bytes(self) -> list[int]:
        """The byte at each of them, through /proc/PID/mem."""
        target, found = Target(self.pid), []
        with Path(f"/proc/{self.pid}/mem").open("rb", buffering=0) as memory:
            for path, offset in self.spots:
                memory.seek(target.address_of(path, offset))
                found.append(memory.read(1)[0])
        return found

    def breakpoints(self) -> int:
        """How many of them are breakpoints now."""
        return self.bytes().count(INT3)


def program_exists(number: int) -> bool:
    """Whether the kernel still has the BPF program with this id."""
    libc = ctypes.CDLL(None, use_errno=True)
    attr = (ctypes.c_uint32 * 32)(number)
    descriptor = libc.syscall(_BPF, _PROG_GET_FD_BY_ID, ctypes.byref(attr), ctypes.sizeof(attr))
    if descriptor >= 0:
        os.close(descriptor)
        return True
    assert ctypes.get_errno() == errno.ENOENT, os.strerror(ctypes.get_errno())
    return False
