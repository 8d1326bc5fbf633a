"""One running QEMU, however it was started: facts from the kernel, its program and its source, each read
once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, MutableMapping
from functools import cached_property
from pathlib import Path

from qtrace.binary.file.elf import Elf
from qtrace.binary.file.version import version_of
from qtrace.errors import BinaryError, CellError, TargetError, TraceError
from qtrace.explain.attached import Attached, attached_nics
from qtrace.explain.explanation import Reader
from qtrace.measure.matching import index_for
from qtrace.measure.measured_nic import MeasuredNic, labelled
from qtrace.measure.network_clients import clients_of
from qtrace.measure.placement import Placement
from qtrace.measure.present_nics import present_nics
from qtrace.proc import Counters, command_line, tap_counters, tap_names
from qtrace.progress import SILENT, Progress
from qtrace.store.index import Index
from qtrace.trace.bpf.prerequisites import require_tracing, uprobes_refused
from qtrace.trace.qemu.net_clients import NetClient
from qtrace.trace.qemu.target import Target

__all__ = ["QemuProcess"]


class QemuProcess:
    """Process `pid`, identified from now on: a later process with the same pid is never mistaken for it.

    `index_name` selects the source index, "" that of the program's own package; `index` opens it. Processes
    that share `placements` (files -> places of their functions) locate functions once. A property raises
    TargetError if the process has ended, or if only root may read it.
    """

    def __init__(
        self,
        pid: int,
        index_name: str = "",
        progress: Progress = SILENT,
        *,
        index: Index | None = None,
        placements: MutableMapping[tuple[Path, ...], Placement] | None = None,
    ) -> None:
        self.target = Target(pid)
        self._index_name, self._progress, self._index = index_name, progress, index
        self._placements = {} if placements is None else placements

    @property
    def pid(self) -> int:
        """Its id in this process's pid namespace."""
        return self.target.pid

    @property
    def started(self) -> int:
        """Its start, in clock ticks since boot."""
        return self.target.started

    @cached_property
    def _link(self) -> Path:
        """The kernel's name of its program, in the process's own mount namespace."""
        try:
            link = Path(f"/proc/{self.pid}/exe").readlink()
        except PermissionError as exc:
            hint = "run it as root, or with CAP_SYS_PTRACE too"
            raise TargetError(f"{self} is out of reach", hint=hint) from exc
        except OSError as exc:
            raise TargetError(f"there is no {self}", hint="see 'pgrep -a qemu'") from exc
        self.target.require()
        return link

    @cached_property
    def program(self) -> Path:
        """The file that it runs; through /proc if its path does not exist here, or is another file."""
        running = Path(f"/proc/{self.pid}/exe")
        with contextlib.suppress(OSError):
            if self._link.samefile(running):
                return self._link
        return running  # replaced by an upgrade, or in a container

    @cached_property
    def version(self) -> tuple[str, str]:
        """(release, the packager's suffix) from its program's version string; the release is empty without
        one.

        Raises TargetError for a program that is not a system QEMU, whatever the name of its file.
        """
        program = self.program
        try:
            found = version_of(Elf(program))
        except BinaryError as exc:
            self.target.require()
            message = f"{self} runs {self._link}, which is no QEMU"
            raise TargetError(message, hint="see 'pgrep -a qemu'") from exc
        self.target.require()
        return found

    @property
    def version_text(self) -> str:
        """`7.2.22 (Debian 1:7.2+dfsg-7)`."""
        release, package = self.version
        return f"{release} ({package})" if package else release

    @cached_property
    def files(self) -> dict[str, Path]:
        """The program, then the mapped libraries: name in the process's memory map -> readable path."""
        files = self.target.files()
        self.target.require()
        if not files:
            raise TraceError(f"{self} has no program file", hint="run it as root")
        return files

    @cached_property
    def command_line(self) -> list[str]:
        """The process's arguments."""
        words = command_line(self.pid)
        self.target.require()
        return words

    @cached_property
    def index(self) -> Index:
        """The index of its source. Raises StoreError, MissingPrerequisite."""
        if self._index is not None:
            return self._index
        return index_for(self.program, self._index_name, self._progress, self.version[0])

    @cached_property
    def placement(self) -> Placement:
        """The places of QEMU's functions in its files. Raises BinaryError."""
        files = tuple(self.files.values())
        if files not in self._placements:
            self._placements[files] = Placement(self.index, files)
        return self._placements[files]

    @cached_property
    def clients(self) -> Callable[[], list[NetClient]]:
        """A function that reads its present network clients; it raises TargetError if they cannot be read."""
        return clients_of(self.target, next(iter(self.files.values())), self.index)

    @cached_property
    def nics(self) -> list[Attached]:
        """Every NIC with a back end: from its command line, corrected by its memory."""
        listed = attached_nics(Reader(self.index), self.command_line)
        try:
            found = present_nics(listed, self.clients(), self.target.descriptors())
        except TargetError as exc:
            self._progress.warn(
                f"only the NICs of the command line are known, and their counts are not separate:  {exc}"
            )
            found = listed
        self.target.require()
        if not found:
            raise TargetError(f"{self} has no NIC with a netdev")
        return found

    def measured(self, netdev_id: str = "", *, tracing: bool = True) -> list[MeasuredNic]:
        """The NICs to measure: all, or those on the netdev `netdev_id`; with `tracing`, after checking the
        prerequisites of tracing.

        A NIC without a path in the source is reported and left out, unless it is the only one. Raises
        TargetError, CellError, MissingPrerequisite.
        """
        _ = self.version  # a program that is not QEMU is reported before missing prerequisites
        if tracing:
            require_tracing(kernel=False)
            if reason := uprobes_refused():
                self._progress.warn(f"{reason}: only system calls and the devices' own counters are counted")
        chosen = [nic for nic in self.nics if nic.id == netdev_id] if netdev_id else self.nics
        if not chosen:
            known = ", ".join(f"{nic.id} ({nic.nic} on {nic.netdev})" for nic in self.nics)
            raise TargetError(f"{self} has no netdev {netdev_id!r}", hint=f"it has: {known}")
        found = labelled(chosen, self.index)
        for one in found[:] if len(found) > 1 else ():
            try:
                _ = one.paths
            except CellError as exc:
                if len(found) == 1:  # there is no other NIC
                    raise
                self._progress.warn(f"{one} is not followed: {exc}")
                found.remove(one)
        if tracing and any(one.nic.vhost for one in found):
            require_tracing(kernel=True)
        return found

    def tap_counters(self) -> dict[str, Counters]:
        """`proc.tap_counters` of the process; empty after its end."""
        found = tap_counters(self.pid)
        return found if self.target.alive() else {}

    def tap_names(self) -> dict[int, str]:
        """`proc.tap_names` of the process; empty after its end."""
        found = tap_names(self.pid)
        return found if self.target.alive() else {}

    def __str__(self) -> str:
        return f"process {self.pid}"
