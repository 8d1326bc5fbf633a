"""In which system calls the threads of a process stand, looked at now and then: /proc/PID/task/TID/syscall.

A call that returns is counted by `probes/syscalls.py`; one that does not return is seen only here.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qtrace.probes.syscalls import DOES, Does
from qtrace.trace.bpf.syscall_names import syscall_names

__all__ = ["StoodIn", "ThreadCalls"]

_MOST = 256  # rows: a process with more threads and calls than that is not described any further


@dataclass(frozen=True, slots=True)
class StoodIn:
    """A thread (`main`: the process's first) that stood in a system call, which takes a descriptor (-1: none)
    of this kind (`socket`, `pipe`, `/dev/net/tun`, a file's path). `blocking`: the call waits there for as
    long as it takes; None where that is not known."""

    tid: int
    thread: str
    main: bool
    call: str
    descriptor: int = -1
    kind: str = ""
    blocking: bool | None = None


class ThreadCalls:
    """Counts at each `look` in which call each thread stands. A thread that runs stands in none."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._looks = 0
        self._seen: Counter[StoodIn] = Counter()

    def look(self) -> None:
        """Look once; nothing is stopped and nothing is waited for."""
        found = list(_standing(self._pid))
        self._looks += bool(found)
        for one in found:
            if one.call and (one in self._seen or len(self._seen) < _MOST):
                self._seen[one] += 1

    def to_json(self) -> dict[str, Any]:
        """`looks`: how often it was looked, 0 where the kernel does not say; `rows`: the fields of `StoodIn`,
        and in how many looks it was `seen` so."""
        rows = [{**asdict(one), "seen": seen} for one, seen in self._seen.most_common()]
        return {"looks": self._looks, "rows": rows}


def _standing(pid: int) -> Iterator[StoodIn]:
    """One for each thread whose call can be read; without a `call` where it runs."""
    for task in Path(f"/proc/{pid}/task").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            words = (task / "syscall").read_text().split()
            tid, name = int(task.name), (task / "comm").read_text().strip()
            who = tid, name, tid == pid
            # "running", or -1 where it waits outside of a call, as for a page.
            known = words[0].isdecimal()
            call = syscall_names().get(int(words[0]), words[0]) if known else ""
            if not DOES.get(call, Does(0)) & Does.FD:
                yield StoodIn(*who, call)
                continue
            descriptor = int(words[1], 16)
            yield StoodIn(*who, call, descriptor, _kind(pid, descriptor), _blocking(pid, descriptor))


def _kind(pid: int, descriptor: int) -> str:
    """`socket` and the like without their numbers; a file's path."""
    with contextlib.suppress(OSError):
        link = str(Path(f"/proc/{pid}/fd/{descriptor}").readlink())
        return link if link.startswith("/") else link.partition(":")[0]
    return ""


def _blocking(pid: int, descriptor: int) -> bool | None:
    flags = _flags(pid, descriptor)
    return None if flags is None else not flags & os.O_NONBLOCK


def _flags(pid: int, descriptor: int) -> int | None:
    """The flags with which a descriptor is open now; None where that cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text().splitlines():
            if line.startswith("flags:"):
                return int(line.split()[1], 8)
    return None
