"""The counts and times of a run on one path, assigned to the steps of its walk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from qtrace.analyses.methods.data import CELL, qemu_of
from qtrace.analyses.methods.traffic_change import CHANGED
from qtrace.errors import StoreError
from qtrace.model import Path, Step
from qtrace.report.answers import Answers, Row
from qtrace.report.contents import contents
from qtrace.report.rows import traffic
from qtrace.report.section import PathRows
from qtrace.report.speech import say, told
from qtrace.report.text import backend, clean, count, duration, plain_number, present, size
from qtrace.store.run import RunReader

__all__ = ["Measured", "StageMeasured", "measured"]

_CALLS = ("kick", "interrupt")  # one call may stand for many frames
# Ledger entries by which a count includes other paths, or misses a part of its own.
_SERIOUS = ("lost", "failed", "missed", "shared", CHANGED, "suppressed", "left out")
_MOST_CALLS = 4  # system calls that are shown


@dataclass(frozen=True, slots=True)
class StageMeasured:
    """One stage, summed over the repetitions; `calls`, `frames`, `bytes` are None if it was not measured.

    `observed` below 1: the counts are scaled, `_error` is half of their 95 % interval, None if not known.
    The times (nanoseconds) are from this stage to the stage `next`, on one thread.
    """

    stage: str
    function: str
    calls: int | None
    frames: int | None
    bytes: int | None
    note: str
    next: str = ""
    p50_ns: float | None = None
    p99_ns: float | None = None
    observed: float = 1.0
    calls_error: float | None = None
    frames_error: float | None = None

    def lines(self, frames: int) -> list[str]:
        """The stage in words, one fact a line; `frames` are the path's, for stages that a frame does not
        pass."""
        if self.frames is None or self.calls is None:
            note = told(clean(self.note))
            return [say("not measured: {note}", note=note) if self.note else say("not measured")]
        if self.stage in _CALLS or not self.stage:
            what = say("{number} times", number=count(self.calls))
            if frames:
                each = plain_number(self.calls / frames)
                what = say("{number} times, {each} for each frame", number=count(self.calls), each=each)
        else:
            numbers = {"frames": count(self.frames), "calls": count(self.calls)}
            what = say("{frames} frames in {calls} calls", **numbers)
            if self.calls:
                batch = plain_number(self.frames / self.calls)
                what = say("{frames} frames in {calls} calls, {batch} a call", **numbers, batch=batch)
        found = [say("{one}, {other}", one=what, other=size(self.bytes)) if self.bytes else what]
        if self.observed < 1:
            number, half = (self.frames, self.frames_error) if self.frames else (self.calls, self.calls_error)
            share = f"{self.observed:.1%}"
            if half is not None and number:
                error = f"{half / number:.1%}"
                found.append(
                    say("scaled, ± {error} (95 %): observed in {share} of the time", error=error, share=share)
                )
            else:
                found.append(say("scaled: observed in {share} of the time", share=share))
        if self.p50_ns is not None:
            p50, p99 = duration(self.p50_ns), duration(self.p99_ns)
            found.append(say("to {next}: p50 {p50}, p99 {p99}", next=self.next, p50=p50, p99=p99))
        return found


@dataclass(frozen=True, slots=True)
class Measured:
    """A run's measurements of a path. `system_calls`: (name, descriptor, calls, errors), of the whole
    QEMU."""

    run: str
    traffic: str
    repetitions: int
    conditions: dict[str, str]
    stages: tuple[StageMeasured, ...]
    system_calls: tuple[tuple[str, str, int, int], ...]
    lost: tuple[str, ...]
    others: tuple[str, ...] = field(default=())
    foot: tuple[str, ...] = field(default=())  # further lines about the whole QEMU

    def at(self, step: Step) -> list[str]:
        """The measurements at a step, in words; empty for a step that is not a stage, if the run has only
        stages."""
        place = (step.stage or "", step.function)
        found = next((item for item in self.stages if (item.stage, item.function) == place), None)
        if found is None:
            return [say("not measured in this run")] if step.stage else []
        return found.lines(self.frames)

    @property
    def frames(self) -> int:
        """The number of frames handed to the peer, or the largest count of any stage."""
        handed = [item.frames for item in self.stages if item.stage == "deliver" and item.frames]
        return max(handed or [item.frames or 0 for item in self.stages] or [0])

    def head(self) -> list[str]:
        """The origin of the numbers and the losses: the first lines of any format."""
        times = say(
            "{number} repetition" if self.repetitions == 1 else "{number} repetitions",
            number=self.repetitions,
        )
        run, traffic = clean(self.run), clean(self.traffic)
        lines = [say("measured in {run}: {traffic}, {times}", run=run, traffic=traffic, times=times)]
        lines += [say("NOT EXACT: {item}", item=item) for item in self.lost]
        qemus = (name for name in self.conditions if name.startswith("QEMU ") and ":" not in name)
        wanted = ("accelerator", "kernel", "QEMU", *qemus)
        lines.append(
            say("; ").join(
                say("{key}: {value}", key=told(key), value=told(clean(self.conditions[key])))
                for key in wanted
                if key in self.conditions
            )
        )
        if self.others:
            lines.append(say("also in this run (--workload): {names}", names=", ".join(self.others)))
        return [line for line in lines if line]

    def tail(self) -> list[str]:
        """QEMU's other work: its system calls for each frame of this direction, and the lines of
        instruments."""
        return [*self._calls(), *self.foot]

    def _calls(self) -> list[str]:
        calls = sorted(self.system_calls, key=lambda item: -item[2])[:_MOST_CALLS]
        if not calls or not self.frames:
            return []
        parts = [
            f"{plain_number(made / self.frames)} {clean(name)}{f' ({clean(what)})' if what else ''}"
            + (say(", {number} failed", number=count(errors)) if errors else "")
            for name, what, made, errors in calls
        ]
        return [say("system calls of the whole QEMU for each frame: {calls}", calls=say("; ").join(parts))]

    def to_json(self) -> dict[str, Any]:
        """The measurements, JSON-ready."""
        calls = [
            dict(zip(("name", "fd", "calls", "errors"), item, strict=True)) for item in self.system_calls
        ]
        return asdict(self) | {"system_calls": calls}


def measured(run: RunReader, path: Path, workload: str = "", release: str = "") -> Measured:
    """The run's measurements of `path`, of one workload: `tcp`, `tcp rx`, `rr`; by default the one whose
    payload has the path's direction. Of a run with several QEMUs only those of the `release` in whose source
    the path was walked. Raises StoreError if the run has none of the path, naming the paths that it has."""
    answers = Answers(run)
    own = _named(answers, release)
    rows = [
        row
        for row in answers.ask("stages")
        if row["direction"] == path.direction and qemu_of(str(row["workload"])) in own
    ]
    mine = [row for row in rows if _is_of(row, path)]
    if not mine:
        known = sorted({f"{row['nic']} on {backend(row['netdev'], row['datapath'])}" for row in rows})
        raise StoreError(
            f"the run {run.path} has nothing of {path.nic} on {backend(path.netdev, path.datapath)}, "
            f"{path.direction}",
            hint=f"it has: {', '.join(known)}" if known else "it has no stages at all",
        )
    traffics = list(dict.fromkeys(traffic(row) for row in mine))
    chosen = _choose(traffics, workload, path, run)
    mine = [row for row in mine if traffic(row) == chosen]
    edges = [
        row
        for row in answers.ask("stage_latency")
        if _is_of(row, path) and row["direction"] == path.direction and traffic(row) == chosen
    ]
    calls = [
        (str(row["name"]), str(row["fd"]), int(row["calls"]), int(row["errors"]))
        for row in _system_calls(answers, path, chosen)
    ]

    def ask(name: str) -> list[Row]:
        found = [row for row in answers.ask(name) if _is_of(row, path) and traffic(row) == chosen]
        return [row for row in found if row.get("direction", path.direction) == path.direction]

    about = PathRows(path.direction, ask)
    lost = tuple(
        say(
            "{kind}: {item}: {number}",
            kind=told(clean(row["kind"])),
            item=told(clean(row["item"])),
            number=count(row["count"]),
        )
        for row in answers.ask("ledger")
        if row["kind"] in _SERIOUS
    )
    return Measured(
        run=str(run.meta["id"]),
        traffic=chosen,
        repetitions=max(int(row["n"]) for row in mine),
        conditions={str(key): str(value) for key, value in dict(run.meta["conditions"]).items()},
        stages=tuple(_stage(row, edges) for row in sorted(mine, key=lambda row: int(row["position"]))),
        system_calls=tuple(calls),
        lost=lost,
        others=tuple(item for item in traffics if item != chosen),
        foot=tuple(line for part in contents() for line in part.in_words(about)),
    )


def _named(answers: Answers, release: str) -> set[str]:
    """The names that QEMUs of this release have in the run's plan, empty for a plan that names none."""
    results = answers.data.table("results")
    named = {
        qemu_of(str(workload)): str(found)
        for workload, found in zip(results["workload"], results["qemu"], strict=True)
    }
    own = {name for name, found in named.items() if not name or not release or found == release}
    if named and not own:
        raise StoreError(
            f"the run {answers.run.path} was measured in QEMU {', '.join(sorted(set(named.values())))}; this "
            f"is the path in {release}",
            hint="give the index of one of them: --index",
        )
    return own or {""}


def _is_of(row: Row, path: Path) -> bool:
    return (row["nic"], row["netdev"], row["datapath"]) == (path.nic, path.netdev, path.datapath)


def _choose(traffics: Sequence[str], workload: str, path: Path, run: RunReader) -> str:
    if workload:
        fits = [item for item in traffics if item == workload] or [
            item for item in traffics if item.split()[0] == workload
        ]
        if not fits:
            raise StoreError(
                f"the run {run.path} has no workload {workload!r} on this path",
                hint=f"it has: {', '.join(traffics)}",
            )
        traffics = fits
    own = [item for item in traffics if item.endswith(f" {path.direction}")]
    return (own or list(traffics))[0]


def _system_calls(answers: Answers, path: Path, chosen: str) -> list[Row]:
    frame = answers.data.table("syscalls")
    groups = frame.groupby([*CELL, "name", "fd"], as_index=False)[["calls", "errors"]]
    records: list[Row] = [
        {str(key): value for key, value in record.items()} for record in groups.sum().to_dict("records")
    ]
    return [row for row in records if _is_of(row, path) and traffic(row) == chosen]


def _stage(row: Row, edges: Sequence[Row]) -> StageMeasured:
    attached = bool(row["attached"])
    after = [
        edge
        for edge in edges
        if (edge["from_stage"], edge["from_function"]) == (row["stage"], row["function"])
    ]
    edge = max(after, key=lambda item: int(item["count"]), default=None)
    return StageMeasured(
        stage=str(row["stage"]),
        function=str(row["function"]),
        calls=int(row["calls"]) if attached else None,
        frames=int(row["frames"]) if attached else None,
        bytes=int(row["bytes"]) if attached else None,
        note=str(row["note"] or ""),
        next=str(edge["to_stage"] or edge["to_function"]) if edge else "",
        p50_ns=edge["p50_ns"] if edge else None,
        p99_ns=edge["p99_ns"] if edge else None,
        observed=present(row["observed"]) or 0.0,
        calls_error=present(row["calls_error"]),
        frames_error=present(row["frames_error"]),
    )
