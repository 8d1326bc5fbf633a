"""Failed system calls of QEMU, by errno: the run's table `errnos`.

The host refuses a frame with EINVAL, ENOBUFS or EIO in a write to a tap or a socket; EMFILE means that the
process has no free descriptor.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Collection, Iterator

import pyarrow as pa

from qtrace.measure.effort import Effort
from qtrace.measure.qemu_process import QemuProcess
from qtrace.probes.family import Family, Point
from qtrace.probes.shared import Loss, Shared
from qtrace.probes.syscalls import CLASSES, Descriptor
from qtrace.store.run import Tables
from qtrace.store.run_schema import Column, TableSchema
from qtrace.trace.bpf.syscall_names import syscall_names
from qtrace.trace.session.instrument import Tracing
from qtrace.trace.session.snapshot import Snapshot

__all__ = ["COLUMNS", "FAMILY", "SHARED", "Errnos", "instrument", "lines"]

_PROGRAM = "on_failed_call"
_MOST = 4095  # the kernel's largest errno (MAX_ERRNO)
# Errnos inside the kernel (linux/errno.h): a signal came, and the call is repeated or fails with EINTR.
_RESTARTS = {512: "ERESTARTSYS", 513: "ERESTARTNOINTR", 514: "ERESTARTNOHAND", 516: "ERESTART_RESTARTBLOCK"}
_USUAL = ("EAGAIN", *_RESTARTS.values())  # the normal end of a loop that reads all available data
_SHOWN = 8

SHARED = Shared(
    constants={"ERRNO_MOST": _MOST},
    losses=(Loss("ERRNOS", "failed system calls beyond their map", "errnos are incomplete"),),
)
FAMILY = Family(
    name="errnos",
    summary="system calls of the target that failed, by thread, descriptor and errno",
    needs=("raw tracepoints",),
    points=(Point("sys_exit", (("raw_tracepoint", _PROGRAM),)),),
    tables=("errnos",),
)
COLUMNS = (
    TableSchema(
        "errnos",
        "How often one system call failed with one errno, by thread. Of calls that belong to no netdev's "
        "descriptor a run has one set, in the cell of its first NIC.",
        (
            Column("thread", pa.string(), "the thread's name"),
            Column("tid", pa.int32(), "the thread's id"),
            Column("name", pa.string(), "the system call"),
            Column("fd", pa.string(), "its descriptor's kind, as in `syscalls`"),
            Column("errno", pa.string(), "the errno's name, or its number where it has none"),
            Column("count", pa.int64(), "how often", "calls"),
        ),
    ),
)


def instrument(process: QemuProcess, effort: Effort) -> Errnos:
    """The instrument, at every level: a successful call costs only a comparison."""
    return Errnos()


class Errnos:
    """Counts by thread, system call, descriptor and errno."""

    family = FAMILY
    columns = COLUMNS

    def open(self, tracing: Tracing) -> None:
        """Attach. Raises TraceError."""
        self._failed = tracing.module[b"errnos"]
        tracing.attached.raw_tracepoint(_PROGRAM, "sys_exit")

    def begin(self) -> None:
        """Begin a window."""
        self._failed.clear()

    def tables(self, snapshot: Snapshot, owners: Collection[int]) -> Tables:
        """Table `errnos` of these owners' descriptors; with owner 0 also all others, and calls without
        one."""
        counts: Counter[tuple[int, str, str, str]] = Counter()
        for key, cpus in self._failed.items():
            if key.owner in owners:
                call = syscall_names().get(key.number, str(key.number))
                fd = CLASSES[Descriptor(getattr(key, "class"))]  # two classes share a name
                counts[key.thread, call, fd, _name(key.error)] += int(sum(cpus))
        rows = [
            {
                "thread": snapshot.names.get(tid, ""),
                "tid": tid,
                "name": call,
                "fd": fd,
                "errno": error,
                "count": count,
            }
            for (tid, call, fd, error), count in sorted(counts.items())
        ]
        return {"errnos": rows}

    def conditions(self) -> dict[str, str]:
        """No conditions."""
        return {}

    def close(self) -> None:
        """Nothing to close: the session owns the program."""


def lines(tables: Tables) -> Iterator[str]:
    """Lines for `record`: the most frequent errnos, without usual ones."""
    counts: Counter[str] = Counter()
    for row in tables.get("errnos", []):
        if row["errno"] not in _USUAL:
            what = f"{row['name']} ({row['fd']})" if row["fd"] else row["name"]
            counts[f"{what} {row['errno']}"] += row["count"]
    if counts:
        parts = (f"{what} {count:,} times" for what, count in counts.most_common(_SHOWN))
        yield f"system calls that failed: {', '.join(parts)}"


def _name(number: int) -> str:
    return errno.errorcode.get(number) or _RESTARTS.get(number, str(number))
