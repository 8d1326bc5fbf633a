"""`qtrace bench`: carry out a plan and record it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qtrace.cli._cluster import cluster_options
from qtrace.cli._console import ConsoleProgress, pass_on
from qtrace.cli._help import Verb, completing
from qtrace.cli._options import index_option, language_option

if TYPE_CHECKING:
    from qtrace.campaign.assignment import Assignment
    from qtrace.campaign.brief import Brief

__all__ = ["command", "tell_steadiness"]


def _plans() -> list[str]:
    from qtrace.campaign.plan import plan_names

    return plan_names()


@click.command(
    "bench",
    cls=Verb,
    examples=(
        ("qtrace bench quick", "compare user, tap and vhost, with and without probes"),
        ("qtrace bench MY-PLAN.toml --report FOLDER", "a plan of your own, and its report"),
        ("qtrace bench --resume RUN", "go on with a run that was interrupted"),
        ("qtrace bench quick --blocks", "the parts of a plan that machines can share"),
        (
            "qtrace bench quick --scheduler tcp://HOST:8786 --venue vm -o RUN",
            "have the workers of a Dask cluster measure them",
        ),
    ),
)
@click.argument("plan", required=False, shell_complete=completing(_plans, files=True))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The run's folder [default: runs/PLAN-TIME]."
)
@click.option(
    "--venue",
    type=click.Choice(["auto", "host", "vm"]),
    default="auto",
    show_default=True,
    help="host: on this machine; vm: in the lab machine; auto: on this machine if it can.",
)
@click.option("--report", type=click.Path(path_type=Path), help="Render the report into this folder as well.")
@language_option
@click.option("--blocks", "list_blocks", is_flag=True, help="List the plan's blocks and measure nothing.")
@click.option(
    "--block", "blocks", multiple=True, metavar="ID", help="Measure only this block; may be repeated."
)
@click.option(
    "--resume", type=click.Path(path_type=Path), metavar="RUN", help="Measure the rest of an interrupted run."
)
@index_option
@cluster_options
@click.option("--brief", type=click.Path(path_type=Path), hidden=True)
def command(
    plan: str | None,
    output: Path | None,
    venue: str,
    report: Path | None,
    language: str,
    list_blocks: bool,
    blocks: tuple[str, ...],
    resume: Path | None,
    index_name: str,
    brief: Path | None,
    **cluster: Any,
) -> None:
    """Measure every cell of PLAN, with and without probes, and record the run.

    PLAN is the name of a plan that comes with qtrace (quick), or a TOML file. Where this machine lacks root,
    KVM, vhost-net or kernel probes, the plan is carried out in the lab machine.

    Where the plan names a precision, a cell is repeated until its ratio to the baseline is known that well,
    or its time is up. The baseline is measured twice (A/A), to see what difference the same thing shows.

    A block is the part of a plan that one machine measures whole: all back ends of one NIC, direction and
    workload. 'qtrace merge' joins the runs of blocks.

    With --scheduler, the workers of a Dask cluster measure the blocks (pip install 'qtrace[cluster]'). They
    share the folder of RUN with this machine; blocks that are done are not measured again. Trusted networks
    only: who reaches a scheduler can run anything on its workers.
    """
    if (plan is None) == (resume is None):
        raise click.UsageError("give a plan, or --resume RUN")
    if resume and (blocks or output):
        raise click.UsageError("--resume goes on with the run as it is: --block and --output do not fit")
    if list_blocks:
        _list_blocks(plan or "")
        return
    if cluster["scheduler"]:
        sys.exit(_on_cluster(plan, output, venue, index_name, (report, language), bool(blocks), cluster))
    if any(cluster.values()):
        raise click.UsageError("--resource and the --tls options belong to --scheduler")
    assignment = _assignment(plan, output, blocks, resume)
    progress = ConsoleProgress()
    try:
        if brief is not None:  # inside the lab machine: everything else is done outside
            sys.exit(_here(assignment, brief, progress))
        failed = _bench(assignment, venue, index_name, progress)
        _tell(assignment.folder, (report, language), progress)
    finally:
        progress.close()
    sys.exit(failed)


def _tell(run: Path, report: tuple[Path | None, str], progress: ConsoleProgress) -> None:
    """Say of a new run what a reader should know, and render its report: its folder and its language."""
    _warn_of_changes(run, progress)
    tell_steadiness(run, progress)
    progress.done(f"run: {run}")
    folder, language = report
    if folder:
        _render(run, folder, language, progress)


def _on_cluster(
    plan: str | None,
    output: Path | None,
    venue: str,
    index_name: str,
    report: tuple[Path | None, str],
    blocks: bool,
    options: dict[str, Any],
) -> int:
    """Have a Dask cluster's workers measure the plan; 1 if a cell failed."""
    from qtrace.campaign.block_task import COMMAND
    from qtrace.campaign.cluster import measure_on_cluster
    from qtrace.cli._cluster import chosen_cluster

    if plan is None or blocks:
        raise click.UsageError(
            "--scheduler takes a whole plan, and goes on by itself: no --resume or --block"
        )
    if output is None:
        raise click.UsageError("--scheduler needs -o RUN, in a folder that the workers share with it")
    if venue == "auto":
        raise click.UsageError("--scheduler needs --venue host or vm: runs of two venues are never joined")
    words = (*COMMAND, "--venue", venue, *(("--index", index_name) if index_name else ()))
    progress = ConsoleProgress()
    try:
        cluster = chosen_cluster(options, index_name)
        run = measure_on_cluster(plan, output.absolute(), cluster, progress, sys.argv[1:], words)
        _tell(run.path, report, progress)
    finally:
        progress.close()
    return int(run.meta["status"] != "complete")


def _list_blocks(plan: str) -> None:
    """One id a line, alone on stdout."""
    from qtrace.campaign.plan import load_plan

    for block in load_plan(plan).blocks:
        click.echo(block.id)


def _assignment(
    plan: str | None, output: Path | None, blocks: tuple[str, ...], resume: Path | None
) -> Assignment:
    from qtrace.campaign.assignment import assigned, resumed
    from qtrace.campaign.carry_out import new_run_folder
    from qtrace.campaign.plan import load_plan

    if resume:
        return resumed(resume.absolute())
    assert plan is not None
    folder = (output or new_run_folder(load_plan(plan), Path("runs"))).absolute()
    try:
        return assigned(plan, folder, blocks)
    except KeyError as exc:
        raise click.BadParameter(
            f"the plan has no block {exc.args[0]!r} (qtrace bench {plan} --blocks lists them)",
            param_hint="'--block'",
        ) from exc


def _bench(assignment: Assignment, venue: str, index_name: str, progress: ConsoleProgress) -> int:
    """Choose the venue, prepare, measure; 1 if a cell failed."""
    from qtrace.cache import exclusive
    from qtrace.campaign.carry_out import prepare_brief, record_in_machine
    from qtrace.campaign.plan_qemus import find_qemus
    from qtrace.lab.machine.venue import choose_venue

    assignment.require_folder()
    # A resumed run stays in its venue: numbers of two are never mixed.
    place = choose_venue(assignment.run.meta["venue"] if assignment.run else venue)
    progress.done(f"venue: {place.name} ({place.reason})")
    qemus = find_qemus(assignment.plan, assignment.blocks, index_name, progress)
    brief = prepare_brief(assignment.plan, qemus, place, sys.argv[1:], progress)
    wait = "another campaign is measuring on this machine: waiting for its end"
    # Two campaigns at the same time would disturb each other's measurements.
    with exclusive("measuring", lambda: progress.warn(wait)):
        if place.name == "host":
            return _here(assignment, brief, progress)
        return record_in_machine(assignment, brief, progress, on_output=pass_on)


def _warn_of_changes(folder: Path, progress: ConsoleProgress) -> None:
    """Say in which cells the probed measurements were of another traffic than the plain ones."""
    from qtrace.analyses.methods.traffic_change import CHANGED
    from qtrace.cli._console import plain
    from qtrace.report.answers import Answers
    from qtrace.store.run import RunReader

    for row in Answers(RunReader.open(folder)).ask("probe_effect"):
        if not row["is_cost"]:
            cell = " ".join(str(row[part]) for part in ("nic", "netdev", "datapath", "way", "workload"))
            progress.warn(plain(f"{CHANGED}: {row['change']} ({cell})"))


def tell_steadiness(folder: Path, progress: ConsoleProgress) -> None:
    """Say what difference nothing made (A/A), and what was unsteady or not known as well as the plan asks."""
    from qtrace.cli._console import plain
    from qtrace.report.answers import Answers
    from qtrace.report.sections.steadiness import same_thing_twice, unsteady
    from qtrace.store.run import RunReader

    answers = Answers(RunReader.open(folder))
    for line in unsteady(answers):
        progress.warn(plain(line))
    for line in same_thing_twice(answers):
        progress.done(plain(line))


def _here(assignment: Assignment, brief: Brief | Path, progress: ConsoleProgress) -> int:
    from qtrace.campaign.brief import Brief
    from qtrace.campaign.carry_out import record_here
    from qtrace.lab.machine.venue import inside_machine

    loaded = Brief.load(brief) if isinstance(brief, Path) else brief
    outcome = record_here(assignment, "vm" if inside_machine() else "host", loaded, progress)
    done = f"{outcome.measured} measurements in {outcome.seconds:.0f} s"
    before = f", {outcome.failed_before} had failed before" if outcome.failed_before else ""
    progress.done(f"{done}, {len(outcome.failed)} failed{before}")
    return int(outcome.partial)


def _render(folder: Path, report: Path, language: str, progress: ConsoleProgress) -> None:
    from qtrace.report.render import render
    from qtrace.store.run import RunReader

    progress.step("rendering the report")
    files = render(RunReader.open(folder), report, language=language)
    progress.done(f"report: {next((file for file in files if file.suffix == '.html'), report)}")
