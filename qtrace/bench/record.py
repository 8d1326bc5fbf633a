"""A plan -> a recorded run on disk, on this host or from inside the lab machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from qtrace import __version__
from qtrace.bench.campaign import Outcome, Stand, run_campaign
from qtrace.bench.conditions import conditions
from qtrace.bench.plan import Job, Plan
from qtrace.bench.stand import open_stand, paths_of
from qtrace.errors import LabError, NoPath
from qtrace.lab.accel import choose_accelerator
from qtrace.lab.guest import find_qemu
from qtrace.lab.kernel import ensure_kernel
from qtrace.lab.machine import LabMachine
from qtrace.lab.owned import remove_leftovers
from qtrace.lab.venue import Venue
from qtrace.model import Cell
from qtrace.model import Path as WalkedPath
from qtrace.progress import Progress
from qtrace.store.index import Index
from qtrace.store.run import RunReader, RunWriter
from qtrace.trace.engine import open_engine

__all__ = ["new_run_folder", "record_here", "record_in_machine"]


def new_run_folder(plan: Plan, parent: Path) -> Path:
    """A folder below `parent` that no other run has, named after the plan and the time."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    return parent / f"{plan.name}-{stamp}-{os.getpid()}"


def record_here(
    plan: Plan,
    jobs: Sequence[Job],
    folder: Path,
    venue: Venue,
    index: Index,
    progress: Progress,
    command: Sequence[str],
) -> Outcome:
    """Measure every job on this machine. Interrupted or not, what was recorded stays readable.

    Raises MissingPrerequisite before anything is measured, KeyboardInterrupt after cleaning up.
    """
    for what in remove_leftovers():
        progress.warn(f"removed what a dead run had left: {what}")
    kernel = ensure_kernel(progress)
    accelerator = choose_accelerator()
    paths = {}
    for job in jobs:
        for path in _paths(index, job.cell):
            paths[path.nic, path.netdev, path.datapath, path.direction] = path
    facts = conditions(find_qemu(), accelerator, f"Linux {kernel.release}")
    facts["repetitions"] = str(plan.repetitions)
    facts["source index"] = f"QEMU {index.meta['qemu']}, libclang {index.meta['libclang']}"
    meta = {
        "qtrace": __version__,
        "command": list(command),
        "venue": venue.name,
        "venue_reason": venue.reason,
        "conditions": facts,
        "plan": plan.to_json(),
        "paths": [path.to_json() for path in paths.values()],
    }
    with RunWriter.create(folder, meta) as writer, open_engine(progress) as engine:

        def up(cell: Cell, stack: ExitStack) -> Stand:
            return stack.enter_context(open_stand(cell, engine, index, kernel, accelerator))

        outcome = run_campaign(plan, jobs, up, writer, progress)
        writer.finish("partial" if outcome.failed else "complete")
    return outcome


def _paths(index: Index, cell: Cell) -> list[WalkedPath]:
    try:
        return paths_of(index, cell)
    except NoPath:
        return []  # the cell fails by itself, with this reason, when it is its turn


def record_in_machine(plan: str, folder: Path, venue: Venue, shard: str, progress: Progress) -> int:
    """Boot the lab machine and measure there, into `folder` on this host; the exit status of it."""
    folder.mkdir(parents=True)
    with LabMachine(share=[folder], progress=progress) as machine:
        argv = [sys.executable, "-m", "qtrace", "bench", plan, "-o", str(folder)]
        argv += ["--venue", "vm", "--shard", shard, "--reason", venue.reason]
        status = machine.run(argv, on_output=_pass_on)
    if status not in (0, 1):
        raise LabError(f"the campaign in the lab machine ended with status {status}")
    RunReader.open(folder)
    return status


def _pass_on(stream: str, data: bytes) -> None:
    """The machine's own command line has printed this: it goes on as it is."""
    out = sys.stdout if stream == "stdout" else sys.stderr
    out.buffer.write(data)
    out.buffer.flush()
