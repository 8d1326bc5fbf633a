"""Carries out the jobs of a plan: each job is measured in turn and recorded at once, round after round.

A failed job is recorded with its reason, and its guest is restarted for the next job; the other guests go
on. The recorded part stays readable, however the campaign ends.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Protocol

from qtrace.campaign.plan import Job, Plan
from qtrace.campaign.rounds import Taken, due, taken_of
from qtrace.errors import BinaryError, CellError, LabError, TargetError, TraceError
from qtrace.model import Cell, Setting
from qtrace.progress import Progress
from qtrace.store.run import RunWriter, Tables

__all__ = ["Outcome", "Stand", "run_campaign"]

# After this many failed starts, a stand is given up for the rest of the plan, with its last error.
_MOST_OPENINGS = 3
# Errors of a single cell: the machine and the other cells are not affected.
_CELL_ERRORS = (CellError, LabError, TraceError, TargetError, BinaryError)

StandKey = tuple[str, str, str, Setting]


def _key(cell: Cell) -> StandKey:
    return cell.nic, cell.netdev, cell.datapath, cell.setting.shape


class Stand(Protocol):
    """A guest with its netdev (`qtrace.campaign.guest_stand`). Raises one of `_CELL_ERRORS`."""

    def wait_until_up(self) -> None:
        """Return when the guest can be measured."""

    def measure(self, cell: Cell, probed: bool, seconds: float) -> tuple[Tables, dict[str, object]]:
        """Tables without the key columns, and raw documents by name."""


@dataclass(slots=True)
class Outcome:
    """The numbers of measured and failed jobs of a campaign, and all that was taken, before it too."""

    measured: int = 0
    failed: list[str] = field(default_factory=list)
    seconds: float = 0.0
    taken: list[Taken] = field(default_factory=list)

    @property
    def failed_before(self) -> int:
        """The failed measurements that a resumed run brought along."""
        return sum(not one.ok for one in self.taken) - len(self.failed)

    @property
    def partial(self) -> bool:
        """A measurement of the run failed, now or before it was resumed."""
        return any(not one.ok for one in self.taken)


class _Stands:
    """The running stands, one for each NIC, back end and shape; closed in reverse order."""

    def __init__(self, open_stand: Callable[[Cell, ExitStack], Stand], progress: Progress) -> None:
        self._open = open_stand
        self._progress = progress
        self._running: dict[StandKey, tuple[Stand, ExitStack]] = {}
        self._up: set[StandKey] = set()
        self._openings: dict[StandKey, int] = {}
        self._last: dict[StandKey, str] = {}

    def up(self, cell: Cell) -> Stand:
        """The cell's stand, started if necessary, when it is ready."""
        key = _key(cell)
        self.start(cell)
        stand = self._running[key][0]
        if key not in self._up:
            try:
                stand.wait_until_up()
            except _CELL_ERRORS as exc:
                self.drop(cell, str(exc))
                raise
            self._up.add(key)
        return stand

    def start(self, cell: Cell) -> None:
        """Start the cell's stand in the background, unless it runs."""
        key = _key(cell)
        if key in self._running:
            return
        if self._openings.get(key, 0) >= _MOST_OPENINGS:
            raise CellError(f"given up after {_MOST_OPENINGS} starts: {self._last[key]}")
        self._openings[key] = self._openings.get(key, 0) + 1
        stack = ExitStack()
        try:
            stand = self._open(cell, stack)
        except BaseException as exc:
            self._last[key] = str(exc)
            stack.close()
            raise
        self._running[key] = (stand, stack)

    def drop(self, cell: Cell, reason: str) -> None:
        """Close the cell's stand: after a failure its state is unknown."""
        key = _key(cell)
        self._last[key] = reason
        self._up.discard(key)
        if key in self._running:
            self._end(self._running.pop(key)[1])

    def close(self) -> None:
        while self._running:
            self._end(self._running.popitem()[1][1])

    def _end(self, stack: ExitStack) -> None:
        """Close the stand. A failure is reported, but prevents neither the record nor the other stands'
        closing."""
        try:
            stack.close()
        except LabError as exc:
            self._progress.warn(f"left behind, for the next start to remove: {exc}")


def run_campaign(
    plan: Plan,
    blocks: Sequence[str],
    taken: Sequence[Taken],
    open_stand: Callable[[Cell, ExitStack], Stand],
    writer: RunWriter,
    progress: Progress,
    meanwhile: Callable[[], None] = lambda: None,
    releases: Mapping[str, str] = MappingProxyType({}),
) -> Outcome:
    """Take every measurement of these blocks that is due after what was `taken`, and record it in `writer`.

    `open_stand(cell, stack)` starts a cell's guest and registers its end with `stack`. All stands of a group
    (`Plan.groups`) come up first, so that none starts while another is measured, and end with it; `meanwhile`
    is called while the first come up. `releases` has the release of each QEMU of the plan, for the record.
    After closing everything, raises errors of the machine (not those of a cell) and KeyboardInterrupt.
    """
    outcome = Outcome(taken=[*taken])
    began = time.monotonic()
    stands = _Stands(open_stand, progress)
    try:
        planned = len(plan.jobs(blocks))
        for number, group in enumerate(plan.groups(blocks)):
            jobs = due(plan, group, outcome.taken)
            _bring_up(stands, _one_a_stand(jobs), (lambda: None) if number else meanwhile, progress)
            while jobs:
                total = max(planned, len(outcome.taken) + len(jobs))
                for job in jobs:
                    # The place in the whole campaign, and not in this group's part of it.
                    job = replace(job, order=len(outcome.taken))
                    release = releases.get(job.cell.setting.qemu, "")
                    outcome.taken.append(_take(plan, job, stands, writer, outcome, progress, total, release))
                jobs = due(plan, group, outcome.taken)
            stands.close()
    finally:
        stands.close()
        outcome.seconds = time.monotonic() - began
    return outcome


def _bring_up(
    stands: _Stands, cells: Sequence[Cell], meanwhile: Callable[[], None], progress: Progress
) -> None:
    """Start the stands of these cells. One that fails is tried again when its first job is due."""
    began = time.monotonic()
    up = 0

    def start(some: Sequence[Cell]) -> None:
        for cell in some:
            progress.step(f"starting a guest with {_label(cell)}")
            with _told(cell, progress):
                stands.start(cell)

    # More guests than processors would only slow each other down.
    at_once = max(1, len(os.sched_getaffinity(0)))
    start(cells[:at_once])
    meanwhile()
    for number, cell in enumerate(cells):
        with _told(cell, progress):
            stands.up(cell)
            up += 1
        start(cells[number + at_once :][:1])
    progress.done(f"{up} of {len(cells)} guests are up after {time.monotonic() - began:.0f} s")


@contextmanager
def _told(cell: Cell, progress: Progress) -> Iterator[None]:
    """Report an error of a single cell as a warning, and go on."""
    try:
        yield
    except _CELL_ERRORS as exc:
        progress.warn(f"{_label(cell)}: {exc}")


def _take(
    plan: Plan,
    job: Job,
    stands: _Stands,
    writer: RunWriter,
    outcome: Outcome,
    progress: Progress,
    total: int,
    release: str,
) -> Taken:
    cell = job.cell
    what = f"[{job.order + 1}/{total}] {_label(cell)} {cell.direction or 'both ways'} {cell.workload}"
    what += f", {', '.join(cell.setting.words)}" if cell.setting.words else ""
    what += f"{', once more' * cell.again}, repetition {job.rep}, "
    what += "with probes" if job.probed else "without probes"
    progress.step(what)
    started = time.time()
    common = {
        "nic": cell.nic,
        "netdev": cell.netdev,
        "datapath": cell.datapath,
        "direction": cell.direction.value if cell.direction else None,
        "workload": cell.workload,
        "qemu": release,
        "order": job.order,
        "started": started,
    }
    raw: dict[str, object] = {}
    try:
        tables, raw = stands.up(cell).measure(cell, job.probed, plan.seconds[cell.workload])
        common |= {"seconds": time.time() - started, "status": "ok", "reason": ""}
        outcome.measured += 1
    except _CELL_ERRORS as exc:
        stands.drop(cell, str(exc))
        reason = str(exc)
        progress.warn(f"{what}: failed: {reason}")
        outcome.failed.append(f"{what}: {reason}")
        common |= {"seconds": time.time() - started, "status": "failed", "reason": reason}
        tables = {
            "results": [{"metric": "none", "value": None, "unit": ""}],
            "ledger": [{"kind": "failed", "item": cell.id, "count": 1, "note": reason}],
        }
    tables["results"] = [common | row for row in tables["results"]]
    writer.add(cell.id, job.rep, job.probed, tables, raw)
    key = {"cell": cell.id, "rep": job.rep, "probed": job.probed}
    return taken_of([key | row for row in tables["results"]])[0]


def _one_a_stand(jobs: Sequence[Job]) -> list[Cell]:
    """The first cell of each stand, in the order of the plan."""
    first: dict[StandKey, Cell] = {}
    for job in jobs:
        first.setdefault(_key(job.cell), job.cell)
    return list(first.values())


def _label(cell: Cell) -> str:
    plain = cell.datapath in ("qemu", cell.netdev)
    netdev = cell.netdev if plain else f"{cell.netdev} with {cell.datapath}"
    return f"{cell.nic} on {netdev}"
