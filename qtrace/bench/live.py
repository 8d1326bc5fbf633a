"""A QEMU that somebody else started, measured as it runs: `qtrace record PID`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qtrace import __version__
from qtrace.bench.attach import Attacher
from qtrace.bench.brief import make_brief
from qtrace.bench.conditions import conditions
from qtrace.errors import TargetError
from qtrace.explain.attached import Attached, accelerator_of, attached_nics
from qtrace.explain.explanation import Reader
from qtrace.model import Cell
from qtrace.proc import command_line, tap_counters
from qtrace.progress import Progress
from qtrace.store.index import Index
from qtrace.store.run import RunWriter
from qtrace.trace.engine import open_engine
from qtrace.trace.snapshot import Snapshot
from qtrace.trace.target import Target

__all__ = ["Live", "choose_nic", "record_process", "target_binary"]

_POLL = 0.2  # seconds between two looks whether the process still lives


def target_binary(pid: int) -> Path:
    """The program that process `pid` runs; by /proc where its own path leads nowhere, or elsewhere.

    Raises TargetError where it is gone or no system QEMU.
    """
    running = Path(f"/proc/{pid}/exe")
    try:
        path = running.readlink()
    except PermissionError as exc:
        raise TargetError(f"process {pid} is out of reach", hint="run it as root") from exc
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


class Live:
    """What `record_process` measured: the snapshot, the tables of the run, and whether Ctrl-C ended the
    window early."""

    def __init__(
        self, snapshot: Snapshot, tables: dict[str, list[dict[str, Any]]], interrupted: bool
    ) -> None:
        self.snapshot, self.tables, self.interrupted = snapshot, tables, interrupted


def record_process(
    pid: int,
    nic: Attached,
    others: Sequence[Attached],
    seconds: float,
    folder: Path,
    index: Index,
    progress: Progress,
    command: Sequence[str],
) -> Live:
    """Count the stages of `nic`'s paths in process `pid` for `seconds` into the run `folder`.

    Ctrl-C ends the window and keeps what was counted. Raises TargetError, TraceError, CellError.
    """
    binary = target_binary(pid)
    cell = Cell(nic.nic, nic.netdev, nic.datapath, None, "live")
    paths = make_brief([cell], index, "", ()).paths_of(cell)
    argv = command_line(pid)
    facts = conditions(binary, accelerator_of(argv), "unknown: not our guest")
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
        before = tap_counters(pid)
        session.start()
        progress.step(f"counting in process {pid} for {seconds:g} s (Ctrl-C ends it early)")
        interrupted = not _wait(Target(pid), seconds)
        session.stop()
        after = tap_counters(pid)
        snapshot = session.read()
        tables = snapshot.tables()
        tables["devices"] = [
            {"device": name, "side": "tap"}
            | {key: number - before[name][key] for key, number in counters.items()}
            for name, counters in after.items()
            if name in before
        ]
        for other in others:
            note = "the counts of shared functions include its frames"
            item = f"another NIC: {other.nic} on {other.netdev}"
            tables["ledger"].append({"kind": "shared", "item": item, "count": 1, "note": note})
        writer.add(cell.id, 1, True, tables)
        writer.finish("complete")
    return Live(snapshot, tables, interrupted)


def _wait(target: Target, seconds: float) -> bool:
    """Until the time is up; False if Ctrl-C came first. A process that has ended is the reader's to tell."""
    deadline = time.monotonic() + seconds
    try:
        while (left := deadline - time.monotonic()) > 0 and target.alive():
            time.sleep(min(_POLL, left))
    except KeyboardInterrupt:
        return False
    return True
