"""The traced process, read from /proc: its threads, descriptors and mapped files."""

from __future__ import annotations

import contextlib
import math
import os
import select
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtrace.errors import TargetError
from qtrace.probes.syscalls import Descriptor
from qtrace.proc import is_macvtap, is_tun, vhost_workers

__all__ = ["Mapping", "Target", "ThreadTimes"]

_TICKS = os.sysconf("SC_CLK_TCK")
_UNIX_DATAGRAM = "0002"  # the type column of /proc/net/unix: SOCK_DGRAM


@dataclass(frozen=True, slots=True)
class ThreadTimes:
    """CPU seconds, context switches and `transfers` of a thread since its start. Transfers are the read and
    write system calls that the kernel counts for every thread, None if the count cannot be read. `system` and
    `guest` are the seconds in the kernel and in the guest as the kernel's clock saw them."""

    name: str
    seconds: float
    voluntary: int
    involuntary: int
    transfers: int | None = None
    system: float | None = None
    guest: float | None = None

    def since(self, before: ThreadTimes | None) -> ThreadTimes:
        """The differences from `before`; the totals if that is None."""
        if before is None:
            return self
        known = self.transfers is not None and before.transfers is not None
        return ThreadTimes(
            self.name,
            self.seconds - before.seconds,
            self.voluntary - before.voluntary,
            self.involuntary - before.involuntary,
            (self.transfers or 0) - (before.transfers or 0) if known else None,
            _more(self.system, before.system),
            _more(self.guest, before.guest),
        )

    def row(self, tid: int) -> dict[str, Any]:
        """As a row of a run's table `threads`."""
        return {
            "thread": self.name,
            "tid": tid,
            "seconds": self.seconds,
            "voluntary": self.voluntary,
            "involuntary": self.involuntary,
            "transfers": self.transfers,
            "system": self.system,
            "guest": self.guest,
        }


@dataclass(frozen=True, slots=True)
class Mapping:
    """A part of the process's memory from `first` up to `end`. `offset` is its beginning in the file `name`,
    which is empty for memory without a file."""

    first: int
    end: int
    offset: int
    executable: bool
    name: str


class Target:
    """A running process, identified from now on: a later process with the same pid is never mistaken for it.

    `started` is its start, in clock ticks since boot (proc(5)). Raises TargetError if it has ended or is not
    accessible.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._proc = Path("/proc", str(pid))
        try:
            group = (self._proc / "status").read_text().split("Tgid:")[1].split()[0]
            if group != str(pid):
                raise TargetError(f"{pid} is a thread, not a process", hint="give the process's id")
            self._held = os.pidfd_open(pid)
            weakref.finalize(self, os.close, self._held)
            self.started = int((self._proc / "stat").read_text().rpartition(")")[2].split()[19])
        except OSError as exc:
            raise TargetError(f"there is no process {pid}", hint="see 'pgrep -a qemu'") from exc
        self.require()

    def alive(self) -> bool:
        """Whether it still runs: neither a zombie nor another process with the same pid."""
        return not self._ends(0)

    def require(self) -> None:
        """Raise TargetError unless it still runs."""
        if not self.alive():
            raise TargetError(f"process {self.pid} has ended")

    def wait(self, seconds: float) -> None:
        """Wait until the time is up, or the process has ended."""
        self._ends(seconds)

    def _ends(self, seconds: float) -> bool:
        """Whether it ends within `seconds`; the descriptor becomes readable at that moment
        (pidfd_open(2))."""
        ended = select.poll()
        ended.register(self._held, select.POLLIN)
        return bool(ended.poll(max(0, math.ceil(1000 * seconds))))

    def address_of(self, binary: Path, offset: int) -> int:
        """The address in the process's memory of the byte at `offset` of the file `binary`.

        A mapping belongs to that file by its inode, or by its name if an overlay shows another inode.
        """
        name = "/" + str(binary).removeprefix(str(self._proc / "root")).lstrip("/")
        try:
            inode = binary.stat().st_ino
            lines = (self._proc / "maps").read_text().splitlines()
        except OSError as exc:
            raise TargetError(f"process {self.pid}: {exc.strerror}: {exc.filename}") from exc
        for line in lines:
            span, rights, begin, _, number, *mapped = line.split(maxsplit=5)
            first, last = (int(text, 16) for text in span.split("-"))
            start = int(begin, 16)
            ours = int(number) == inode or mapped == [name]
            if ours and "x" in rights and start <= offset < start + last - first:
                return first + offset - start
        raise TargetError(f"process {self.pid} does not run code at offset {offset:#x} of {binary}")

    def libraries(self) -> list[Path]:
        """Paths of the mapped executable files, the program first; through the process's own root if that
        differs from this process's."""
        return list(self.files().values())

    def files(self) -> dict[str, Path]:
        """As `libraries`, by the file's name in the process's own memory map."""
        names = dict.fromkeys(
            span.name for span in self.mappings() if span.executable and span.name.startswith("/")
        )
        ours = self._shares_our_files()
        found = {}
        for number, name in enumerate(names):
            if not name.endswith(" (deleted)"):
                found[name] = Path(name) if ours else self._proc / "root" / name.lstrip("/")
            elif number == 0:  # an upgrade has replaced the program; the kernel still has the old one
                found[name] = self._proc / "exe"
        return found

    def mappings(self) -> list[Mapping]:
        """The process's memory, in order; empty after its end."""
        found = []
        with contextlib.suppress(OSError):
            for line in (self._proc / "maps").read_text().splitlines():
                span, rights, begin, _, _, *name = line.split(maxsplit=5)
                first, end = (int(text, 16) for text in span.split("-"))
                found.append(Mapping(first, end, int(begin, 16), "x" in rights, "".join(name)))
        return found

    def _shares_our_files(self) -> bool:
        """Whether paths name the same files in the process as in this one."""
        with contextlib.suppress(OSError):
            ours = Path("/proc/self")
            return all(
                (self._proc / link).readlink() == (ours / link).readlink() for link in ("root", "ns/mnt")
            )
        return False

    def descriptors(self) -> dict[int, Descriptor]:
        """Descriptor -> its class."""
        streams, datagrams = self._inodes("tcp", "tcp6"), self._inodes("udp", "udp6", "icmp", "icmp6", "raw")
        datagrams |= self._unix_datagrams()
        classes: dict[int, Descriptor] = {}
        for entry in self._listed("fd"):
            with contextlib.suppress(OSError):
                classes[int(entry.name)] = _class_of(entry, streams, datagrams)
        return classes

    def workers(self) -> list[int]:
        """Thread ids of the vhost workers, oldest first; empty without vhost."""
        return vhost_workers(self.pid)

    def threads(self, workers: Sequence[int] = ()) -> dict[int, ThreadTimes]:
        """Thread id -> its times, including the vhost workers."""
        entries = [*self._listed("task"), *(Path("/proc", str(worker)) for worker in workers)]
        found: dict[int, ThreadTimes] = {}
        for entry in entries:
            with contextlib.suppress(OSError):
                switches = dict(
                    line.split(":\t")
                    for line in (entry / "status").read_text().splitlines()
                    if "ctxt_switches" in line
                )
                found[int(entry.name)] = ThreadTimes(
                    (entry / "comm").read_text().strip(),
                    int((entry / "schedstat").read_text().split()[0]) / 1e9,
                    int(switches["voluntary_ctxt_switches"]),
                    int(switches["nonvoluntary_ctxt_switches"]),
                    _transfers(entry),
                    *_split(entry),
                )
        return found

    def _listed(self, folder: str) -> Iterator[Path]:
        try:
            yield from (self._proc / folder).iterdir()
        except PermissionError as exc:
            raise TargetError(
                f"process {self.pid} is out of reach", hint="run it as root, or with CAP_SYS_PTRACE too"
            ) from exc
        except OSError:
            return

    def _inodes(self, *tables: str) -> set[str]:
        """The socket inodes of these tables of the process's own network namespace."""
        found: set[str] = set()
        for table in tables:
            with contextlib.suppress(OSError):
                lines = (self._proc / "net" / table).read_text().splitlines()[1:]
                found.update(line.split()[9] for line in lines)
        return found

    def _unix_datagrams(self) -> set[str]:
        """The inodes of Unix datagram sockets. Streams are monitors and character devices; only datagrams
        carry frames."""
        with contextlib.suppress(OSError):
            lines = (self._proc / "net" / "unix").read_text().splitlines()[1:]
            return {field[6] for line in lines if (field := line.split())[4] == _UNIX_DATAGRAM}
        return set()


def _transfers(thread: Path) -> int | None:
    """read, write and their like (proc(5): syscr and syscw); None where the kernel was built without, or says
    it to others only."""
    try:
        told = dict(line.split(": ") for line in (thread / "io").read_text().splitlines())
        return int(told["syscr"]) + int(told["syscw"])
    except (OSError, KeyError, ValueError):
        return None


def _split(thread: Path) -> tuple[float | None, float | None]:
    """Seconds in the kernel and in the guest (proc(5), stat: stime and guest_time); None where unreadable."""
    try:
        fields = (thread / "stat").read_text().rpartition(")")[2].split()
        return int(fields[12]) / _TICKS, int(fields[40]) / _TICKS
    except (OSError, IndexError, ValueError):
        return None, None


def _more(now: float | None, before: float | None) -> float | None:
    return now - before if now is not None and before is not None else None


def _class_of(entry: Path, streams: set[str], datagrams: set[str]) -> Descriptor:
    link = str(entry.readlink())
    if link.startswith("/"):
        status = entry.stat()
        return Descriptor.TAP if is_tun(status) or is_macvtap(status) else Descriptor.OTHER
    if link == "anon_inode:[eventfd]":
        return Descriptor.EVENTFD
    if link.startswith("socket:["):
        inode = link[8:-1]
        if inode in streams:
            return Descriptor.STREAM
        return Descriptor.DATAGRAM if inode in datagrams else Descriptor.OTHER
    return Descriptor.OTHER
