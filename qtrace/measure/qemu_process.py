"""A QEMU that somebody else started, and which of its NICs are to be followed."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from qtrace.errors import CellError, TargetError
from qtrace.explain.attached import Attached, attached_nics
from qtrace.explain.explanation import Reader
from qtrace.measure.matching import index_for
from qtrace.measure.network_clients import clients_of
from qtrace.model import Cell
from qtrace.model import Path as WalkedPath
from qtrace.path.both_ways import both_ways
from qtrace.probes.syscalls import Descriptor
from qtrace.proc import command_line
from qtrace.progress import Progress
from qtrace.store.index import Index
from qtrace.trace.bpf.prerequisites import require_tracing, uprobes_refused
from qtrace.trace.qemu.owners import Owner, Owners
from qtrace.trace.qemu.target import Target
from qtrace.trace.session.snapshot import Snapshot

__all__ = ["Aim", "Followed", "aim_at", "target_binary"]

_PORT = "hubport"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


def target_binary(pid: int) -> Path:
    """The program that process `pid` runs; by /proc where its own path leads nowhere, or elsewhere.

    Raises TargetError where it is gone or no system QEMU.
    """
    running = Path(f"/proc/{pid}/exe")
    try:
        path = running.readlink()
    except PermissionError as exc:
        hint = "run it as root, or with CAP_SYS_PTRACE too"
        raise TargetError(f"process {pid} is out of reach", hint=hint) from exc
    except OSError as exc:
        raise TargetError(f"there is no process {pid}", hint="see 'pgrep -a qemu'") from exc
    if "qemu" not in path.name or "img" in path.name:
        raise TargetError(f"process {pid} runs {path}, which is no QEMU", hint="see 'pgrep -a qemu'")
    with contextlib.suppress(OSError):
        if path.samefile(running):
            return path
    return running  # replaced by an upgrade, or in a container


@dataclass(frozen=True)
class Followed:
    """One NIC and its back end in a running QEMU. `label` tells it from the others, empty where it is the
    only one; `index` is that of QEMU's source."""

    nic: Attached
    index: Index
    label: str = ""

    @property
    def cell(self) -> Cell:
        """What a run calls it."""
        name = _UNSAFE.sub("", self.label)
        return Cell(
            self.nic.nic, self.nic.netdev, self.nic.datapath, None, f"live-{name}" if name else "live"
        )

    @cached_property
    def paths(self) -> tuple[WalkedPath, ...]:
        """Both directions. Raises CellError."""
        return both_ways(self.index, self.nic.nic, self.nic.netdev, self.nic.datapath)

    @property
    def stages(self) -> set[tuple[str, str]]:
        """(direction, function) of every step that is measured."""
        return {
            (path.direction.value, step.function)
            for path in self.paths
            for step in (*path.steps, *path.stages)
        }

    def owns(self, owner: Owner) -> bool:
        """Whether what `owner` counts is this NIC's."""
        if not self.nic.hub:
            return (owner.netdev, owner.nic) == (self.nic.id, self.nic.nic)
        if self.nic.id != f"hub{owner.hub}":
            return False
        return owner.nic == self.nic.nic if owner.nic else owner.driver == self.nic.driver

    @property
    def name(self) -> str:
        """Its label, or its back end's id where it needs none."""
        return self.label or self.nic.id

    def of(self, seen: Snapshot) -> Snapshot:
        """What this NIC counted of what the whole process did."""
        return seen.only([owner.number for owner in seen.owners if self.owns(owner)], self.stages)

    def __str__(self) -> str:
        vhost = " with vhost" if self.nic.vhost else ""
        name = f" ({self.label})" if self.label else ""
        return f"{self.nic.nic} on {self.nic.netdev}{vhost}{name}"


@dataclass(frozen=True, slots=True)
class Aim:
    """A process and what is to be followed in it; `others` are its NICs that are not."""

    pid: int
    binary: Path
    index: Index
    followed: tuple[Followed, ...]
    others: tuple[Attached, ...]

    def paths(self) -> tuple[WalkedPath, ...]:
        """Of all NICs that are followed, both directions. Raises CellError."""
        return tuple(path for one in self.followed for path in one.paths)

    def __str__(self) -> str:
        return f"process {self.pid}: {', '.join(map(str, self.followed))}"


def aim_at(pid: int, netdev_id: str, index_name: str, progress: Progress, *, tracing: bool = True) -> Aim:
    """Process `pid`, its source's index and the NICs to follow: all, or that on the netdev `netdev_id`; with
    `tracing`, once all that is there which tracing them needs.

    A NIC whose path the source does not have is named and left out, unless it is the only one. Raises
    TargetError, CellError, MissingPrerequisite.
    """
    binary = target_binary(pid)
    if tracing:
        require_tracing(kernel=False)
        if reason := uprobes_refused():
            progress.warn(f"{reason}: system calls and the devices' own counters are all that is counted")
    index = index_for(binary, index_name, progress)
    nics = _nics(pid, binary, index, progress)
    if not nics:
        raise TargetError(f"process {pid} has no NIC with a netdev")
    chosen = [nic for nic in nics if nic.id == netdev_id] if netdev_id else nics
    if not chosen:
        known = ", ".join(f"{nic.id} ({nic.nic} on {nic.netdev})" for nic in nics)
        raise TargetError(f"process {pid} has no netdev {netdev_id!r}", hint=f"it has: {known}")
    followed = _labelled(chosen, index)
    lost: list[Attached] = []
    for one in followed[:] if len(followed) > 1 else ():
        try:
            _ = one.paths
        except CellError as exc:
            if len(followed) == 1:  # no other one is left
                raise
            progress.warn(f"{one} is not followed: {exc}")
            followed.remove(one)
            lost.append(one.nic)
    if tracing and any(one.nic.vhost for one in followed):
        require_tracing(kernel=True)
    others = [nic for nic in nics if nic not in chosen] + lost
    return Aim(pid, binary, index, tuple(followed), tuple(others))


def _labelled(nics: Sequence[Attached], index: Index) -> list[Followed]:
    if len(nics) == 1:
        return [Followed(nics[0], index)]
    ids = [nic.id for nic in nics]
    # Several back ends on one hub share the hub's name.
    return [
        Followed(nic, index, f"{nic.id}-{nic.netdev}" if ids.count(nic.id) > 1 else nic.id) for nic in nics
    ]


def _nics(pid: int, binary: Path, index: Index, progress: Progress) -> list[Attached]:
    """Every NIC with a back end: as the command line has them, and as the memory says that they are now."""
    listed = attached_nics(Reader(index), command_line(pid))
    owners = Owners()
    try:
        owners.update(clients_of(pid, binary, index)())
    except TargetError as exc:
        progress.warn(
            f"only the NICs of the command line are known, and their counts are not told apart: {exc}"
        )
        return listed
    present = [owner for owner in owners if owner.nic and not owner.queue]
    classes = Target(pid).descriptors()
    streams = [
        owner.netdev
        for owner in owners
        if owner.driver == "socket"
        and all(classes.get(fd) != Descriptor.DATAGRAM for fd in owner.descriptors)
    ]
    behind = {f"hub{owner.hub}" for owner in owners if not owner.nic and owner.netdev in streams}
    return [
        replace(nic, netdev="socket-stream")
        if nic.netdev == "socket" and (nic.id in streams or nic.id in behind)
        else nic
        for nic in _present(listed, present)
    ]


def _present(listed: Sequence[Attached], present: Iterable[Owner]) -> list[Attached]:
    """What is in memory, in the words of the command line where it is from there."""
    left = list(listed)
    found: list[Attached] = []
    for owner in present:
        if owner.driver == _PORT:
            hubs = [nic for nic in left if nic.hub and (nic.id, nic.nic) == (f"hub{owner.hub}", owner.nic)]
            found += hubs
            left = [nic for nic in left if nic not in hubs]
            continue
        # A name that QEMU has generated is on no command line: there they stand in the same order.
        known = next((nic for nic in left if not nic.hub and nic.id in (owner.netdev, "")), None)
        if known is None or known.nic != owner.nic:
            known = Attached(owner.nic, owner.driver, owner.netdev, owner.vhost)
        else:
            left.remove(known)
        found.append(replace(known, id=owner.netdev))
    return found
