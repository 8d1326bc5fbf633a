"""Carries out a plan: records a run to disk, on this host or inside the lab machine."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from qtrace import __version__
from qtrace.binary.file.version import qemu_version
from qtrace.cache import cache_dir
from qtrace.campaign.assignment import Assignment, resumed
from qtrace.campaign.brief import Brief, make_brief
from qtrace.campaign.guest_stand import open_stand
from qtrace.campaign.jobs import Outcome, Stand, run_campaign
from qtrace.campaign.plan import LeftOut, Plan, PlanError
from qtrace.campaign.plan_qemus import PlanQemus
from qtrace.campaign.rounds import reached
from qtrace.conditions import conditions
from qtrace.errors import LabError, MachineGone, MissingPrerequisite, StoreError
from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.guest.guest import MEMORY, find_qemu
from qtrace.lab.guest.guest_image import ensure_image
from qtrace.lab.guest.kernel import Kernel, ensure_kernel
from qtrace.lab.guest.qemu_program import QemuProgram
from qtrace.lab.host.owned import remove_leftovers
from qtrace.lab.link.shaping import guest_programs, needed_modules
from qtrace.lab.link.vhost_user import PROGRAM as SWITCH
from qtrace.lab.machine.machine import LabMachine
from qtrace.lab.machine.venue import Venue
from qtrace.lab.workload.possible import why_not_here
from qtrace.lab.workload.workload import clients
from qtrace.measure.attacher import Attacher
from qtrace.measure.instrument_registry import instruments
from qtrace.measure.instruments.copies import FAMILY as COPIES
from qtrace.measure.instruments.copies import find_beforehand
from qtrace.measure.instruments.cpu_functions import FAMILY as SAMPLES
from qtrace.measure.placement import Placement
from qtrace.model import VHOST_USER, Cell
from qtrace.model import Path as WalkedPath
from qtrace.progress import Progress
from qtrace.store.index import Index, open_index
from qtrace.store.left_out import left_out_fact
from qtrace.store.run import RunReader, close_dead
from qtrace.trace.bpf.prerequisites import ensure_headers, require_tracing
from qtrace.trace.session.engine import open_engine
from qtrace.trace.session.session import Session

__all__ = ["new_run_folder", "prepare_brief", "record_here", "record_in_machine"]

# MiB of the lab machine: at least, for itself, and for each guest beside that guest's own memory.
_LEAST_MEMORY, _OWN_MEMORY, _OF_A_GUEST = 3072, 1024, 64


def new_run_folder(plan: Plan, parent: Path) -> Path:
    """A new folder's path below `parent`, named after the plan and the time."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    return parent / f"{plan.name}-{stamp}-{os.getpid()}"


def prepare_brief(
    plan: Plan, qemus: PlanQemus, venue: Venue, command: Sequence[str], progress: Progress
) -> Brief:
    """Walk the plan's paths in the index of each QEMU and find their functions in its program; a plan without
    probes needs none."""
    if plan.probes:
        progress.step("walking the plan's paths and finding their functions in the binary")
    gone = {one.cell for one in qemus.left_out}
    cells = [cell for cell in plan.cells if cell.setting.qemu in qemus.indexes and cell.id not in gone]
    brief = replace(
        make_brief(cells if plan.probes else (), qemus.indexes, venue.reason, command),
        qemus=dict(qemus.programs),
        left_out=qemus.left_out,
    )
    if not plan.probes:
        return brief
    probes, unplaced = 0, 0
    for name, index in qemus.indexes.items():
        program = qemus.programs[name].program if name else QemuProgram(find_qemu().resolve())
        walked = [path for paths in brief.ways.values() for path in paths if isinstance(path, WalkedPath)]
        placement = Placement(index, [program.file.resolve(), *program.libraries()])
        found = placement.probes([path for path in walked if path.qemu == name])
        if plan.copies:
            find_beforehand(index, placement)
        probes, unplaced = probes + len(found[0]), unplaced + len(found[1])
    ways = sum(not isinstance(found, str) for found in brief.ways.values())
    progress.done(f"{ways} pairs of paths walked: {probes} stages can be measured, {unplaced} cannot")
    return brief


def record_here(
    assignment: Assignment,
    venue: str,
    brief: Brief,
    progress: Progress,
) -> Outcome:
    """Measure every job of the assignment on this machine.

    The recorded part stays readable after an interruption. Raises MissingPrerequisite before anything is
    measured, KeyboardInterrupt after cleaning up.
    """
    plan, blocks = assignment.plan, assignment.blocks
    here, left_out = _measurable(plan, brief.left_out, progress)
    if plan.probes:
        require_tracing()
    for what in remove_leftovers():
        progress.warn(f"removed what a dead run had left: {what}")
    indexes = {name: open_index(file) for name, file in brief.indexes.items()}
    kernel = ensure_kernel(progress)
    accelerator = choose_accelerator()
    programs = clients(cell.workload for cell in plan.cells)
    facts = _facts(here, left_out, brief, accelerator, f"Linux {kernel.release}", indexes)
    meta = {
        "qtrace": __version__,
        "command": list(brief.command),
        "venue": venue,
        "venue_reason": brief.reason,
        "conditions": facts,
        "plan": plan.to_json(),
        "left_out": [{"cell": one.cell, "reason": one.reason} for one in left_out],
        "paths": [path.to_json() for path in brief.paths(job.cell for job in here.jobs(blocks))],
    }
    with assignment.open(meta) as writer, ExitStack() as tools:
        attachers: dict[str, Attacher] = {}

        def compile_probes() -> None:
            wanted = {SAMPLES.name: bool(plan.cpu_hertz), COPIES.name: plan.copies}
            others = [instruments()[name].source for name, asked in wanted.items() if asked]
            engine = tools.enter_context(open_engine(progress, others))
            for name, index in indexes.items():
                attachers[name] = Attacher(engine, index, plan.cpu_hertz, copies=plan.copies)

        def start(cell: Cell, stack: ExitStack) -> Stand:
            name = cell.setting.qemu

            def attach(pid: int, paths: Sequence[WalkedPath]) -> AbstractContextManager[Session]:
                return attachers[name].attach(pid, paths)

            program = brief.qemus[name].program if name else None
            return stack.enter_context(
                open_stand(cell, attach, brief, kernel, accelerator, programs, program)
            )

        outcome = run_campaign(
            here,
            blocks,
            assignment.taken,
            start,
            writer,
            progress,
            meanwhile=compile_probes if plan.probes else lambda: None,
            releases=_releases(brief),
        )
        if plan.precision:
            writer.update(precision=[one.to_json() for one in reached(here, blocks, outcome.taken)])
        writer.finish("partial" if outcome.partial else "complete")
    return outcome


def _facts(
    here: Plan,
    left_out: Sequence[LeftOut],
    brief: Brief,
    accelerator: str,
    guest_kernel: str,
    indexes: Mapping[str, Index],
) -> dict[str, str]:
    """The conditions of the run. Each QEMU that the plan names has its own."""
    facts = conditions(find_qemu(), accelerator, guest_kernel)
    if brief.machine:
        facts["lab machine"] = brief.machine
        facts["accelerator"] += ", in the lab machine, which is itself emulated" * ("tcg" in brief.machine)
    facts |= left_out_fact(
        [one.reason for one in left_out], len(here.cells) + len({one.cell for one in left_out})
    )
    if any(cell.netdev == VHOST_USER for cell in here.cells):
        facts["switch of vhost-user"] = (
            f"{SWITCH}, which polls on a processor while its cells are measured; its CPU time is in no number"
        )
    facts["repetitions"] = str(here.repetitions)
    if here.precision:
        facts["repetitions"] += (
            f" at least, until ratios are within {100 * here.precision:g} % or {here.at_most:g} s are up"
        )
    if here.probes and here.cpu_hertz:
        facts["CPU samples"] = f"{here.cpu_hertz} a second on each processor (cpu-clock), with probes"
    if brief.qemus and not any(cell.setting.qemu == "" for cell in here.cells):
        del facts["QEMU"], facts["libslirp"]
    for name, qemu in brief.qemus.items():
        facts[f"QEMU {name}"] = qemu.version
        facts[f"QEMU {name}: libslirp"] = qemu.program.package_version("libslirp") or "unknown"
    for name, index in indexes.items():
        about = f"QEMU {name}: source index" if name else "source index"
        facts[about] = f"QEMU {index.meta['qemu']}, libclang {index.meta['libclang']}"
    return facts


def _releases(brief: Brief) -> dict[str, str]:
    """The release of each QEMU by its name in the plan."""
    return {"": qemu_version(find_qemu()).split()[0]} | {
        name: qemu.release for name, qemu in brief.qemus.items()
    }


def _measurable(plan: Plan, absent: Sequence[LeftOut], progress: Progress) -> tuple[Plan, list[LeftOut]]:
    """The part of the plan that this machine can measure, and the cells that nobody or this machine cannot,
    or that a QEMU does not have (`absent`).

    Raises MissingPrerequisite if nothing is left.
    """
    told = {one.cell for one in absent}
    here = [
        LeftOut(cell.id, reason)
        for cell in plan.cells
        if cell.id not in told and (reason := why_not_here(cell))
    ]
    left_out = [*plan.left_out, *absent, *here]
    for reason, times in Counter(one.reason for one in left_out).items():
        progress.warn(f"{times} cells left out: {reason}")
    part = plan.without(one.cell for one in left_out)
    if not part.cells:
        raise MissingPrerequisite(f"no cell of the plan can be measured here: {left_out[-1].reason}")
    return part, left_out


def record_in_machine(
    assignment: Assignment,
    brief: Brief,
    progress: Progress,
    on_output: Callable[[str, bytes], None],
) -> int:
    """Boot the lab machine and measure in it, into a folder on this host; returns its exit status.

    The output of the command line in the machine goes to `on_output`, as (`stdout` or `stderr`, bytes).

    Downloads and files that are made once are made on this host before, where there is a network and the
    processor is not emulated. Where the machine's kernel ends, another machine measures the rest, as long as
    each has measured something.
    """
    folder = assignment.folder
    kernel = ensure_kernel(progress)
    programs = clients(cell.workload for cell in assignment.plan.cells)
    for nic, shape in dict.fromkeys((cell.nic, cell.setting.shape) for cell in assignment.plan.cells):
        tools = guest_programs(programs, shape)
        ensure_image(kernel, progress, nic, tools, needed_modules(shape))
    ensure_headers(progress, kernel.release)
    assignment.require_folder()
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            return _in_one_machine(assignment, brief, kernel, progress, on_output)
        except MachineGone as gone:
            rest = _rest(folder)
            if rest is None or len(rest.taken) <= len(assignment.taken):
                raise
            there = f"{len(rest.taken)} measurements are there"
            progress.warn(f"{gone}; another one goes on with the rest, {there}")
            assignment = rest


def _in_one_machine(
    assignment: Assignment,
    brief: Brief,
    kernel: Kernel,
    progress: Progress,
    on_output: Callable[[str, bytes], None],
) -> int:
    folder = assignment.folder
    # In the cache, which the machine mounts; it may not mount the folder for temporary files.
    argv = [sys.executable, "-m", "qtrace", "bench", *assignment.words]
    with tempfile.NamedTemporaryFile(prefix="brief-", dir=cache_dir("briefs")) as note:
        try:
            memory = _memory_for(assignment)
            with LabMachine(share=[folder], progress=progress, kernel=kernel, memory=memory) as machine:
                replace(brief, machine=machine.describe()).save(Path(note.name))
                status = machine.run([*argv, "--brief", note.name], on_output=on_output)
            _require_ended(folder, status)
        except BaseException:
            # The machine may have had no time to close the run: compiling cannot be interrupted.
            with contextlib.suppress(StoreError):
                close_dead(folder)
            with contextlib.suppress(OSError):
                folder.rmdir()  # removes an empty folder only
            raise
    return status


def _memory_for(assignment: Assignment) -> int:
    """MiB of a lab machine that has all guests of a group at the same time, as far as this host has them."""
    guests = assignment.plan.guests_at_once(assignment.blocks)
    here = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    return max(_LEAST_MEMORY, min(_OWN_MEMORY + guests * (MEMORY + _OF_A_GUEST), here * 3 // 4))


def _rest(folder: Path) -> Assignment | None:
    """What is left of the run in the folder; None where there is none, or where it cannot be read."""
    try:
        return resumed(folder)
    except (StoreError, PlanError):
        return None


def _require_ended(folder: Path, status: int) -> None:
    """Raise LabError unless the campaign went through its plan; failed cells are allowed.

    Exit status 1 stands both for failed cells and for a campaign that was refused: the run tells which.
    """
    if status not in (0, 1):
        raise LabError(f"the campaign in the lab machine ended with status {status}")
    begun = (folder / "run.json").exists()
    if not begun or RunReader.open(folder).meta["status"] not in ("complete", "partial"):
        raise LabError("the campaign in the lab machine did not go through: the reason is above")
