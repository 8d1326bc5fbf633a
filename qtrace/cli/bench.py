"""`qtrace bench`: carry out a plan and record it."""

from __future__ import annotations

import re
import sys
from contextlib import ExitStack
from pathlib import Path

import click

from qtrace.cli._console import ConsoleProgress

__all__ = ["command"]


def _shard(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", value)
    if match:
        k, n = int(match[1]), int(match[2])
        if 1 <= k <= n:
            return k, n
    raise click.BadParameter("give k/n, for instance 2/8: the second of eight parts")


@click.command("bench")
@click.argument("plan")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The run's folder [default: runs/PLAN-TIME]."
)
@click.option("--venue", type=click.Choice(["auto", "host", "vm"]), default="auto", show_default=True)
@click.option("--report", type=click.Path(path_type=Path), help="Render the report into this folder as well.")
@click.option(
    "--shard", callback=_shard, default="1/1", show_default=True, help="Only part k of n of the plan."
)
@click.option("--reason", default="", hidden=True)
def command(
    plan: str, output: Path | None, venue: str, report: Path | None, shard: tuple[int, int], reason: str
) -> None:
    """Measure every cell of PLAN (a name such as `quick`, or a TOML file), with and without probes."""
    from qtrace.bench.plan import load_plan
    from qtrace.bench.record import new_run_folder, record_here, record_in_machine
    from qtrace.cache import exclusive
    from qtrace.lab.venue import Venue, choose_venue, inside_machine
    from qtrace.source.build import ensure_index

    progress = ConsoleProgress()
    try:
        chosen = load_plan(plan)
        jobs = chosen.jobs(shard)
        place = choose_venue(venue)
        inside = inside_machine()
        if inside and reason:
            place = Venue(place.name, reason)
        if not inside:
            progress.done(f"venue: {place.name} ({place.reason})")
        folder = (output or new_run_folder(chosen, Path("runs"))).absolute()
        index, _ = ensure_index(progress)
        with ExitStack() as stack:
            if not inside:
                # Two campaigns at once would measure each other.
                wait = "another campaign is measuring on this machine: waiting for its end"
                stack.enter_context(exclusive("measuring", lambda: progress.warn(wait)))
            if inside or place.name == "host":
                outcome = record_here(chosen, jobs, folder, place, index, progress, sys.argv[1:])
                failed = bool(outcome.failed)
                done = f"{outcome.measured} measurements in {outcome.seconds:.0f} s"
                progress.done(f"{done}, {len(outcome.failed)} failed")
            else:
                part = f"{shard[0]}/{shard[1]}"
                failed = bool(record_in_machine(plan, folder, place, part, progress))
        if not inside:
            progress.done(f"run: {folder}")
        if report and not inside:
            _render(folder, report, progress)
    finally:
        progress.close()
    if failed:
        sys.exit(1)


def _render(folder: Path, report: Path, progress: ConsoleProgress) -> None:
    from qtrace.report.render import render
    from qtrace.store.run import RunReader

    progress.step("rendering the report")
    files = render(RunReader.open(folder), report)
    progress.done(f"report: {next((file for file in files if file.suffix == '.html'), report)}")
