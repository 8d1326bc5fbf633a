"""`qtrace merge RUN… -o RUN`: the blocks of a plan, measured by several machines, become one run."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from qtrace.cli._help import Verb
from qtrace.store.run import RunReader
from qtrace.store.run_merge import merge_runs

__all__ = ["command"]


@click.command(
    "merge",
    cls=Verb,
    examples=(("qtrace merge BLOCK-* -o RUN", "the blocks' runs become one run, for one report"),),
)
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The new run's folder.")
def command(runs: tuple[Path, ...], output: Path) -> None:
    """Join the runs of a plan's blocks into one run.

    Every block must be in exactly one of the RUNs, and all must be of one plan and one venue.
    """
    parts = [RunReader.open(run) for run in runs]
    merged = merge_runs(parts, output, sys.argv[1:])
    hosts = len(merged.meta["hosts"])
    click.echo(f"{output}: {len(parts)} runs of {hosts} machine{'s' * (hosts > 1)}, {merged.meta['status']}")
