"""A QEMU that somebody else started, measured as it runs: `qtrace record PID`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qtrace import __version__
from qtrace.conditions import conditions
from qtrace.explain.attached import accelerator_of
from qtrace.measure.attacher import Attacher
from qtrace.measure.budgeted_session import Effort, Regulated, regulated
from qtrace.measure.instruments.all import Instruments
from qtrace.measure.qemu_process import Aim, Followed
from qtrace.measure.virtio_features import negotiated
from qtrace.proc import Counters, command_line, tap_counters, tap_names
from qtrace.progress import Progress
from qtrace.store.run import RunWriter
from qtrace.trace.session.engine import open_engine
from qtrace.trace.session.snapshot import Snapshot

__all__ = ["Live", "record_process"]

_LOOK = 1.0  # seconds between two looks for cards that have come
_EXACT = Effort()


class Live:
    """What `record_process` measured: the snapshot of the whole process, the tables of each NIC by its
    netdev's name, and whether Ctrl-C ended the window early."""

    def __init__(
        self, snapshot: Snapshot, tables: dict[str, dict[str, list[dict[str, Any]]]], interrupted: bool
    ) -> None:
        self.snapshot, self.tables, self.interrupted = snapshot, tables, interrupted


def record_process(
    aim: Aim,
    seconds: float,
    folder: Path,
    progress: Progress,
    command: Sequence[str],
    cpu_hertz: int = 0,
    sample: int = 0,
    effort: Effort = _EXACT,
) -> Live:
    """Count the stages of the NICs' paths in the process for `seconds` into the run `folder`: a cell a NIC.

    What its threads execute is sampled `cpu_hertz` times a second, and one frame in `sample` is kept whole.
    `effort` says what is probed and what that may cost.

    Ctrl-C, or the end of the process, ends the window and keeps what was counted. Raises TargetError where
    the process ends before, TraceError, CellError.
    """
    pid, index = aim.pid, aim.index
    paths = aim.paths()
    facts = conditions(aim.binary, accelerator_of(command_line(pid)), "unknown: not our guest")
    title = ", ".join(map(str, aim.followed))
    meta = {
        "qtrace": __version__,
        "command": list(command),
        "venue": "host",
        "venue_reason": f"process {pid} runs here",
        "conditions": facts,
        "plan": {"name": "record", "title": f"process {pid}: {title}", "repetitions": 1},
        "paths": list({path: path.to_json() for path in paths}.values()),
    }
    with (
        open_engine(progress) as engine,
        regulated(engine, Attacher(engine, index), aim, effort, progress) as traced,
        RunWriter.create(folder, meta) as writer,
    ):
        session = traced.session
        besides = Instruments(session, pid, index, cpu_hertz, sample, effort.level)
        before, taps = tap_counters(pid), tap_names(pid)
        traced.start()
        progress.step(f"counting in process {pid} for {seconds:g} s (Ctrl-C ends it early)")
        interrupted = False
        try:
            _watch(traced, seconds)
        except KeyboardInterrupt:
            interrupted = True
        traced.stop()
        after = tap_counters(pid)
        snapshot = session.read()
        ended = [] if session.alive() else [_ended(pid)]
        if ended:
            progress.warn(f"process {pid} has ended: what was counted up to then is kept")
        devices = {
            name: {key: number - before[name][key] for key, number in counters.items()}
            for name, counters in after.items()
            if name in before
        }
        unseen = traced.suppression.whole(traced.regulator, snapshot.seconds)
        tables = {}
        for one in aim.followed:
            tables[one.name] = found = _of_nic(one, snapshot, devices, taps)
            unseen.apply(one.name, found)
            found["ledger"] += [*_shared(aim, one, snapshot), *ended]
            mine = [owner.number for owner in snapshot.owners if one.owns(owner)]
            for name, rows in besides.tables(snapshot, mine, progress).items():
                found.setdefault(name, []).extend(rows)
            writer.add(one.cell.id, 1, True, found)
        said = facts | besides.conditions() | negotiated(snapshot.owners)
        writer.update(conditions=said | traced.detach(), clock=besides.clock())
        writer.finish("complete")
    return Live(snapshot, tables, interrupted)


def _watch(traced: Regulated, seconds: float) -> None:
    """Until the time is up or the process has ended; what is plugged in meanwhile is noticed."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and traced.session.alive():
        traced.regulator.run(min(left, _LOOK))
        traced.session.refresh()


def _ended(pid: int) -> dict[str, Any]:
    note = "counted up to then; its threads' times and its taps' own counters ended with it"
    return {"kind": "ended", "item": f"process {pid}", "count": 1, "note": note}


def _of_nic(
    one: Followed, snapshot: Snapshot, devices: Mapping[str, Counters], taps: Mapping[int, str]
) -> dict[str, list[dict[str, Any]]]:
    mine = [owner for owner in snapshot.owners if one.owns(owner)]
    tables = one.of(snapshot).tables()
    names = {taps.get(descriptor) for owner in mine for descriptor in owner.descriptors}
    tables["devices"] = [
        {"device": name, "side": "tap", **counters}
        for name, counters in devices.items()
        if name in names or not mine
    ]
    return tables


def _shared(aim: Aim, one: Followed, snapshot: Snapshot) -> list[dict[str, Any]]:
    """What of this NIC's tables is not its own."""
    others = [*(other.nic for other in aim.followed if other is not one), *aim.others]
    if not others:
        return []
    if any(one.owns(owner) for owner in snapshot.owners):
        note = "threads and system calls of no netdev's descriptor are the whole process's"
        item = f"a process with {len(others) + 1} NICs"
        return [{"kind": "whole process", "item": item, "count": 1, "note": note}]
    note = f"the counts of shared functions include its frames: {snapshot.unread}"
    return [
        {"kind": "shared", "item": f"another NIC: {other.nic} on {other.netdev}", "count": 1, "note": note}
        for other in others
    ]
