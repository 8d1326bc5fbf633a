"""`qtrace bench`: carry out a plan and record it."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qtrace.cli._console import ConsoleProgress, pass_on
from qtrace.cli._help import Verb, completing
from qtrace.cli._options import index_option

if TYPE_CHECKING:
    from qtrace.campaign.brief import Brief
    from qtrace.campaign.plan import Job, Plan

__all__ = ["command"]


def _shard(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", value)
    if match:
        k, n = int(match[1]), int(match[2])
        if 1 <= k <= n:
            return k, n
    raise click.BadParameter("give k/n, for instance 2/8: the second of eight parts")


def _plans() -> list[str]:
    from qtrace.campaign.plan import plan_names

    return plan_names()


@click.command(
    "bench",
    cls=Verb,
    examples=(
        ("qtrace bench quick", "compare user, tap and vhost, with and without probes"),
        ("qtrace bench MY-PLAN.toml --report FOLDER", "a plan of your own, and its report"),
    ),
)
@click.argument("plan", shell_complete=completing(_plans, files=True))
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
@click.option(
    "--shard",
    callback=_shard,
    default="1/1",
    show_default=True,
    metavar="K/N",
    help="Measure only part K of N of the plan.",
)
@index_option
@click.option("--brief", type=click.Path(path_type=Path), hidden=True)
def command(
    plan: str,
    output: Path | None,
    venue: str,
    report: Path | None,
    shard: tuple[int, int],
    index_name: str,
    brief: Path | None,
) -> None:
    """Measure every cell of PLAN, with and without probes, and record the run.

    PLAN is the name of a plan that comes with qtrace (quick), or a TOML file. Where this machine lacks root,
    KVM, vhost-net or kernel probes, the plan is carried out in the lab machine.
    """
    from qtrace.campaign.carry_out import new_run_folder
    from qtrace.campaign.plan import load_plan

    chosen = load_plan(plan)
    if not chosen.jobs(shard):
        raise click.BadParameter(
            f"the plan has {len(chosen.cells)} cells, so no part {shard[0]} of {shard[1]}"
        )
    progress = ConsoleProgress()
    try:
        if brief is not None:  # inside the lab machine: the preparation was done on the host
            assert output is not None
            sys.exit(_here(chosen, chosen.jobs(shard), output, brief, progress))
        folder = (output or new_run_folder(chosen, Path("runs"))).absolute()
        failed = _bench(plan, chosen, venue, folder, shard, index_name, progress)
        progress.done(f"run: {folder}")
        if report:
            _render(folder, report, progress)
    finally:
        progress.close()
    sys.exit(failed)


def _bench(
    name: str,
    plan: Plan,
    venue: str,
    folder: Path,
    shard: tuple[int, int],
    index_name: str,
    progress: ConsoleProgress,
) -> int:
    """Choose the venue, prepare, measure; 1 if a cell failed."""
    from qtrace.cache import exclusive
    from qtrace.campaign.carry_out import prepare_brief, record_in_machine
    from qtrace.lab.guest.guest import find_qemu
    from qtrace.lab.machine.venue import choose_venue
    from qtrace.measure.matching import index_for
    from qtrace.store.run import require_free

    require_free(folder)
    place = choose_venue(venue)
    progress.done(f"venue: {place.name} ({place.reason})")
    index = index_for(find_qemu(), index_name, progress)
    brief = prepare_brief(plan, index, place, sys.argv[1:], progress)
    wait = "another campaign is measuring on this machine: waiting for its end"
    # Two campaigns at the same time would disturb each other's measurements.
    with exclusive("measuring", lambda: progress.warn(wait)):
        if place.name == "host":
            return _here(plan, plan.jobs(shard), folder, brief, progress)
        part = f"{shard[0]}/{shard[1]}"
        return record_in_machine(name, folder, brief, part, progress, on_output=pass_on)


def _here(
    plan: Plan,
    jobs: Sequence[Job],
    folder: Path,
    brief: Brief | Path,
    progress: ConsoleProgress,
) -> int:
    from qtrace.campaign.brief import Brief
    from qtrace.campaign.carry_out import record_here
    from qtrace.lab.machine.venue import inside_machine

    loaded = Brief.load(brief) if isinstance(brief, Path) else brief
    outcome = record_here(plan, jobs, folder, "vm" if inside_machine() else "host", loaded, progress)
    done = f"{outcome.measured} measurements in {outcome.seconds:.0f} s"
    progress.done(f"{done}, {len(outcome.failed)} failed")
    return int(bool(outcome.failed))


def _render(folder: Path, report: Path, progress: ConsoleProgress) -> None:
    from qtrace.report.render import render
    from qtrace.store.run import RunReader

    progress.step("rendering the report")
    files = render(RunReader.open(folder), report)
    progress.done(f"report: {next((file for file in files if file.suffix == '.html'), report)}")
