"""Measures a running QEMU that another program started: `qtrace record PID`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qtrace import __version__
from qtrace.conditions import conditions
from qtrace.explain.attached import accelerator_of
from qtrace.measure.budgeted_session import Regulated, regulated
from qtrace.measure.effort import Effort
from qtrace.measure.instrument_registry import Instruments, instrument_tables, open_full_engine
from qtrace.measure.measured_nic import MeasuredNic, paths_of
from qtrace.measure.process_state import process_state
from qtrace.measure.qemu_process import QemuProcess
from qtrace.measure.virtio_features import negotiated
from qtrace.proc import Counters
from qtrace.progress import Progress
from qtrace.store.run import RunWriter
from qtrace.trace.qemu.thread_calls import ThreadCalls
from qtrace.trace.session.snapshot import Snapshot

__all__ = ["Live", "record_process"]

_LOOK = 1.0  # seconds between two searches for new cards
_CALLS = 0.2  # seconds between two looks at the calls in which threads stand
_EXACT = Effort()


class Live:
    """The result of `record_process`: the snapshot of the whole process, the tables of each NIC by its
    netdev's name, and whether Ctrl-C ended the window early."""

    def __init__(
        self, snapshot: Snapshot, tables: dict[str, dict[str, list[dict[str, Any]]]], interrupted: bool
    ) -> None:
        self.snapshot, self.tables, self.interrupted = snapshot, tables, interrupted


def record_process(
    process: QemuProcess,
    nics: Sequence[MeasuredNic],
    seconds: float,
    folder: Path,
    progress: Progress,
    command: Sequence[str],
    effort: Effort = _EXACT,
) -> Live:
    """Count the stages of the NICs' paths in the process for `seconds` into the run `folder`: a cell for each
    NIC.

    `effort` is the amount of measuring and the limit of its cost.

    Ctrl-C, or the end of the process, ends the window and keeps the counts. Raises TargetError if the process
    ends before the window, TraceError, CellError.
    """
    accelerator = accelerator_of(process.command_line)
    facts = conditions(
        process.program, accelerator, "unknown: the guest was not started by qtrace", process.version_text
    )
    title = ", ".join(map(str, nics))
    meta = {
        "qtrace": __version__,
        "command": list(command),
        "venue": "host",
        "venue_reason": f"{process} runs here",
        "conditions": facts,
        "plan": {"name": "record", "title": f"{process}: {title}", "repetitions": 1},
        "paths": list({path: path.to_json() for path in paths_of(nics)}.values()),
    }
    with (
        open_full_engine(progress) as engine,
        regulated(engine, process, nics, effort, progress) as traced,
        RunWriter.create(folder, meta, instrument_tables()) as writer,
    ):
        session = traced.session
        besides = Instruments(session, process, effort)
        before, taps = process.tap_counters(), process.tap_names()
        state: dict[str, Any] = {"begin": process_state(process, nics)}
        traced.start()
        progress.step(f"counting in {process} for {seconds:g} s (Ctrl-C ends it early)")
        interrupted, calls = False, ThreadCalls(process.pid)
        try:
            _watch(traced, seconds, calls)
        except KeyboardInterrupt:
            interrupted = True
        traced.stop()
        after = process.tap_counters()
        state["end"] = process_state(process, nics)
        snapshot = session.read()
        ended = [] if session.alive() else [_ended(process)]
        if ended:
            progress.warn(f"{process} has ended: the counts up to then are kept")
        devices = {
            name: {key: number - before[name][key] for key, number in counters.items()}
            for name, counters in after.items()
            if name in before
        }
        unseen = traced.suppression.whole(traced.regulator, snapshot.seconds)
        tables = {}
        for one in nics:
            tables[one.name] = found = _of_nic(one, snapshot, devices, taps)
            unseen.apply(one.name, found)
            found["ledger"] += [*_shared(process, one, snapshot), *ended]
            mine = [owner.number for owner in snapshot.owners if one.owns(owner)]
            for name, rows in besides.tables(snapshot, mine, progress).items():
                found.setdefault(name, []).extend(rows)
            writer.add(one.cell.id, 1, True, found)
        said = facts | besides.conditions() | negotiated(snapshot.owners)
        state["seconds"] = snapshot.seconds
        state["end"]["calls"] = calls.to_json()
        state["end"]["tracing"] = {"share": traced.share(snapshot)}
        writer.update(conditions=said | traced.detach(), clock=_clock(), state=state)
        writer.finish("complete")
    return Live(snapshot, tables, interrupted)


def _watch(traced: Regulated, seconds: float, calls: ThreadCalls) -> None:
    """Wait until the time is up or the process has ended; take in cards that are plugged in meanwhile, and
    look at the calls in which its threads stand."""
    until = time.monotonic() + seconds
    due = 0.0
    while (left := until - time.monotonic()) > 0 and traced.session.alive():
        traced.regulator.run(min(left, _CALLS))
        calls.look()
        if time.monotonic() >= due:
            traced.session.refresh()
            due = time.monotonic() + _LOOK


def _clock() -> dict[str, int]:
    """A sampled frame's clock and the wall clock at one moment, in ns."""
    return {"monotonic_ns": time.monotonic_ns(), "unix_ns": time.time_ns()}


def _ended(process: QemuProcess) -> dict[str, Any]:
    note = "counted up to its end; its threads' times and its taps' own counters are lost"
    return {"kind": "ended", "item": str(process), "count": 1, "note": note}


def _of_nic(
    one: MeasuredNic, snapshot: Snapshot, devices: Mapping[str, Counters], taps: Mapping[int, str]
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


def _shared(process: QemuProcess, one: MeasuredNic, snapshot: Snapshot) -> list[dict[str, Any]]:
    """Ledger rows for those of this NIC's tables that include counts of others."""
    others = [nic for nic in process.nics if nic is not one.nic]
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
