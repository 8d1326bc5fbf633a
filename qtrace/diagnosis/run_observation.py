"""A run becomes observations: one of the whole process for `record`, one a measurement for `bench`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qtrace.diagnosis.checked_state import checked_state
from qtrace.diagnosis.observation import Nic, Observation
from qtrace.errors import StoreError
from qtrace.model import path_from_json
from qtrace.store.run import RunReader, Tables

__all__ = ["observations"]

_KEY = ("cell", "rep", "probed")
_LIVE = "live"
# A whole process has these once: `record` writes them with the first NIC, or with each the same.
_WHOLE = ("threads", "cpu_functions", "syscalls", "errnos", "ledger")
# The tables that a rule may look at, and what it relies on of one that the run format leaves to its writer.
_READ = (
    *("stages", "ways", "queues", "waits", "stops", "devices", "retransmissions", "iotlb_misses"),
    *("results", "threads", "cpu_functions", "syscalls", "errnos", "ledger"),
)
_ERRNOS = {"name", "fd", "errno", "count"}
_NO_CALLS = (
    "in which system calls its threads stand: /proc/PID/task/*/syscall could not be read, or the run is of "
    "an older qtrace"
)
_NO_STATE = (
    "how the process, its NICs and its taps stood (features, links, queues, limits): this run has no state, "
    "it was recorded by bench or by an older qtrace"
)


def observations(run: RunReader) -> list[Observation]:
    """Of a run, in the order of its measurements. Raises StoreError where it has none with probes, or is
    damaged."""
    parts: dict[tuple[str, int], Tables] = {}
    for name in _READ:
        for row in run.table(name).to_pylist():
            if row["probed"]:
                key = str(row["cell"]), int(row["rep"])
                if name == "errnos" and not row.keys() >= _ERRNOS:
                    raise StoreError(f"{run.path}: the table errnos lacks columns of this qtrace's")
                rest = {column: value for column, value in row.items() if column not in _KEY}
                parts.setdefault(key, {}).setdefault(name, []).append(rest)
    if not parts:
        raise StoreError(
            f"{run.path} has no measurement with probes", hint="record one: qtrace record PID -o RUN"
        )
    places = _places(run.meta["paths"])
    state = checked_state(run.meta.get("state"), str(run.path / "run.json"))
    live = {cell: tables for (cell, _), tables in parts.items() if _workload(cell).startswith(_LIVE)}
    if live:
        return [_of_process(run.meta, state, live, places)]
    return [_of_cell(cell, rep, tables, places) for (cell, rep), tables in parts.items()]


def _of_process(
    meta: Mapping[str, Any],
    state: Mapping[str, Any],
    cells: Mapping[str, Tables],
    places: Mapping[str, str],
) -> Observation:
    """All NICs of a process that `record` looked at."""
    begin, end = state.get("begin", {}), state.get("end", {})
    nics = []
    for cell, tables in cells.items():
        name = _workload(cell).removeprefix(_LIVE).removeprefix("-")
        nics.append(_nic(cell, name, tables, begin, end, places))
    unknown = [] if end else [_NO_STATE if not state else "how it stood at the end: the process had ended"]
    unknown += [_NO_CALLS] if end and not (end.get("calls") or {}).get("looks") else []
    unknown += [tap["unread"] for tap in end.get("taps", ()) if tap.get("unread")]
    again = [row for nic in nics for row in nic.rows("retransmissions") if not row["attached"]]
    unknown += dict.fromkeys(f"what libslirp sends again: {row['note']}" for row in again)
    missed = [row for nic in nics for row in nic.rows("iotlb_misses") if not row["attached"]]
    unknown += dict.fromkeys(f"what vhost has QEMU translate: {row['note']}" for row in missed)
    seconds = float(state.get("seconds", 0.0))
    if not seconds:
        unknown.append("how long the window was: nothing that is a rate is known")
    title = str(meta.get("plan", {}).get("title", ""))
    return Observation(seconds, title, nics, _whole(list(cells.values())), begin, end, unknown)


def _of_cell(cell: str, rep: int, tables: Tables, places: Mapping[str, str]) -> Observation:
    seconds = max((float(row["seconds"] or 0.0) for row in tables.get("results", ())), default=0.0)
    nic = _nic(cell, "", tables, {}, {}, places)
    return Observation(seconds, f"{cell}, repetition {rep}", [nic], _whole([tables]), unknown=[_NO_STATE])


def _nic(
    cell: str,
    name: str,
    tables: Tables,
    begin: Mapping[str, Any],
    end: Mapping[str, Any],
    places: Mapping[str, str],
) -> Nic:
    parts = (cell.split("+") + [""] * 5)[:5]
    before, after = _state_of(begin, name), _state_of(end, name)
    descriptors = {side["descriptor"] for queue in after.get("queues", ()) for side in _sides(queue)} - {-1}
    taps = [tap for tap in end.get("taps", ()) if descriptors & set(tap["descriptors"])]
    return Nic(name, parts[0], parts[1], parts[2], tables, before, after, taps, places)


def _state_of(state: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """By the name that the cell has of it: without what a cell may not have, and none for the only NIC."""
    nics: Mapping[str, Mapping[str, Any]] = state.get("nics", {})
    if len(nics) == 1:
        return next(iter(nics.values()))
    matching = (nic for label, nic in nics.items() if _safe(label) == name)
    return next(matching, {})


def _safe(label: str) -> str:
    return "".join(char for char in label if char.isascii() and (char.isalnum() or char in "._-"))


def _sides(queue: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield queue["near"]
    yield queue["far"]


def _whole(parts: Sequence[Tables]) -> Tables:
    """Rows of the whole process, each once."""
    found: Tables = {}
    for tables in parts:
        for name in _WHOLE:
            rows = found.setdefault(name, [])
            rows += [row for row in tables.get(name, ()) if row not in rows]
    return found


def _workload(cell: str) -> str:
    return cell.split("+")[-1]


def _places(paths: Sequence[Any]) -> dict[str, str]:
    """Function -> FILE:LINE, of every step and every other way; of a path that is damaged nothing."""
    found: dict[str, str] = {}
    for raw in paths:
        with contextlib.suppress(KeyError, TypeError, ValueError):
            path = path_from_json(raw)
            for step in path.steps:
                found.setdefault(step.function, _place(step.file, step.line))
            for way in path.ways:
                found.setdefault(way.function, _place(way.file, way.line))
    return found


def _place(file: str, line: int) -> str:
    """A library's or the kernel's function has no line, or no file."""
    return f"{file}:{line}" if file and line else file
