"""A QEMU that somebody else started, measured as it runs: `qtrace record PID`."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtrace import __version__
from qtrace.bench.attach import Attacher
from qtrace.bench.brief import make_brief
from qtrace.bench.conditions import conditions
from qtrace.bench.indexed import index_for
from qtrace.errors import TargetError
from qtrace.explain.attached import Attached, accelerator_of, attached_nics
from qtrace.explain.explanation import Reader
from qtrace.model import Cell
from qtrace.model import Path as WalkedPath
from qtrace.proc import command_line, tap_counters
from qtrace.progress import Progress
from qtrace.store.index import Index
from qtrace.store.run import RunWriter
from qtrace.trace.engine import open_engine
from qtrace.trace.prerequisites import require_tracing, uprobes_refused
from qtrace.trace.snapshot import Snapshot
from qtrace.trace.target import Target

__all__ = ["Aim", "Live", "aim_at", "choose_nic", "record_process", "target_binary"]


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


def choose_nic(pid: int, index: Index, netdev_id: str = "") -> tuple[Attached, list[Attached]]:
    """The NIC to follow, by its netdev's id where there are several, and the others. Raises TargetError."""
    found = attached_nics(Reader(index), command_line(pid))
    if not found:
        raise TargetError(f"process {pid} has no NIC with a netdev on its command line")
    chosen = [nic for nic in found if nic.id == netdev_id] if netdev_id else found
    if len(chosen) != 1:
        known = ", ".join(f"{nic.id} ({nic.nic} on {nic.netdev})" for nic in found)
        what = f"no netdev {netdev_id!r}" if netdev_id else f"{len(found)} NICs"
        raise TargetError(f"process {pid} has {what}", hint=f"choose one with --netdev: {known}")
    return chosen[0], [nic for nic in found if nic is not chosen[0]]


@dataclass(frozen=True, slots=True)
class Aim:
    """A process and what is to be followed in it: `nic`; `others` share its functions."""

    pid: int
    binary: Path
    index: Index
    nic: Attached
    others: list[Attached]

    @property
    def cell(self) -> Cell:
        """What a run calls it."""
        return Cell(self.nic.nic, self.nic.netdev, self.nic.datapath, None, "live")

    def paths(self) -> tuple[WalkedPath, ...]:
        """The NIC's paths, both directions. Raises CellError."""
        return tuple(make_brief([self.cell], self.index, "", ()).paths_of(self.cell))

    def __str__(self) -> str:
        vhost = " with vhost" if self.nic.vhost else ""
        return f"process {self.pid}: {self.nic.nic} on {self.nic.netdev}{vhost}"


def aim_at(pid: int, netdev_id: str, index_name: str, progress: Progress, *, tracing: bool = True) -> Aim:
    """Process `pid`, its source's index and the NIC to follow; with `tracing`, once all that is there which
    tracing it needs. Raises TargetError, MissingPrerequisite."""
    binary = target_binary(pid)
    if tracing:
        require_tracing(kernel=False)
    index = index_for(binary, index_name, progress)
    nic, others = choose_nic(pid, index, netdev_id)
    if tracing and nic.vhost:
        require_tracing(kernel=True)
    if tracing and (reason := uprobes_refused()):
        progress.warn(f"{reason}: system calls and the devices' own counters are all that is counted")
    return Aim(pid, binary, index, nic, others)


class Live:
    """What `record_process` measured: the snapshot, the tables of the run, and whether Ctrl-C ended the
    window early."""

    def __init__(
        self, snapshot: Snapshot, tables: dict[str, list[dict[str, Any]]], interrupted: bool
    ) -> None:
        self.snapshot, self.tables, self.interrupted = snapshot, tables, interrupted


def record_process(
    aim: Aim, seconds: float, folder: Path, progress: Progress, command: Sequence[str]
) -> Live:
    """Count the stages of the NIC's paths in the process for `seconds` into the run `folder`.

    Ctrl-C, or the end of the process, ends the window and keeps what was counted. Raises TargetError where
    the process ends before, TraceError, CellError.
    """
    pid, nic, index = aim.pid, aim.nic, aim.index
    paths = aim.paths()
    argv = command_line(pid)
    facts = conditions(aim.binary, accelerator_of(argv), "unknown: not our guest")
    meta = {
        "qtrace": __version__,
        "command": list(command),
        "venue": "host",
        "venue_reason": f"process {pid} runs here",
        "conditions": facts,
        "plan": {"name": "record", "title": f"process {pid}: {nic.nic} on {nic.netdev}", "repetitions": 1},
        "paths": [path.to_json() for path in paths],
    }
    with (
        open_engine(progress) as engine,
        Attacher(engine, index).attach(pid, paths) as session,
        RunWriter.create(folder, meta) as writer,
    ):
        target, before = Target(pid), tap_counters(pid)
        session.start()
        progress.step(f"counting in process {pid} for {seconds:g} s (Ctrl-C ends it early)")
        interrupted = False
        try:
            target.wait(seconds)
        except KeyboardInterrupt:
            interrupted = True
        session.stop()
        after = tap_counters(pid)
        snapshot = session.read()
        tables = snapshot.tables()
        if not target.alive():
            progress.warn(f"process {pid} has ended: what was counted up to then is kept")
            note = "counted up to then; its threads' times and its taps' own counters ended with it"
            ended = {"kind": "ended", "item": f"process {pid}", "count": 1, "note": note}
            tables["ledger"].append(ended)
        tables["devices"] = [
            {"device": name, "side": "tap"}
            | {key: number - before[name][key] for key, number in counters.items()}
            for name, counters in after.items()
            if name in before
        ]
        for other in aim.others:
            note = "the counts of shared functions include its frames"
            item = f"another NIC: {other.nic} on {other.netdev}"
            tables["ledger"].append({"kind": "shared", "item": item, "count": 1, "note": note})
        writer.add(aim.cell.id, 1, True, tables)
        writer.finish("complete")
    return Live(snapshot, tables, interrupted)
