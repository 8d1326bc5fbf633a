"""`qtrace compare RUN RUN…`: which cells became faster or slower from one run to another."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click

from qtrace.cli._console import echo_json
from qtrace.cli._help import Verb
from qtrace.report.answers import Answers
from qtrace.report.comparison import Comparison, as_markdown, as_text
from qtrace.store.run import RunReader

__all__ = ["command"]

# So that a caller such as CI can tell it from an error, which is 1.
_FAILED_ON = 3


class _Percent(click.ParamType[float]):
    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """`2%`, `2` or `0.5%` as a share: 0.02, 0.02, 0.005."""
        if isinstance(value, float):
            return value
        try:
            share = float(str(value).removesuffix("%")) / 100
        except ValueError:
            share = -1
        if not 0 < share < 1:
            self.fail(f"{value!r} is not a percentage between 0 and 100, such as 2%", param, ctx)
        return share


@click.command(
    "compare",
    cls=Verb,
    examples=(
        ("qtrace compare BEFORE AFTER", "the cells of two runs, each with a verdict"),
        ("qtrace compare --fail-on slower BEFORE AFTER", "exit status 3 where a cell is slower, for CI"),
    ),
)
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--margin", type=_Percent(), default="2%", show_default=True, help="A difference that does not matter."
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="This metric in place of the usual ones; may be repeated.",
)
@click.option(
    "--relative",
    is_flag=True,
    help="Take each cell against its own run's baseline: for runs of two machines or venues.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["slower", "faster", "different"]),
    help="End with status 3 where a cell has that verdict.",
)
@click.option(
    "--format", "form", type=click.Choice(["text", "md", "json"]), default="text", show_default=True
)
def command(
    runs: tuple[Path, ...],
    margin: float,
    metrics: tuple[str, ...],
    relative: bool,
    fail_on: str | None,
    form: str,
) -> None:
    """Compare every RUN after the first with the first, cell by cell.

    Each cell gets its ratio with a 95 % interval and a verdict: slower, faster, same (within the margin) or
    not known. Verdicts are corrected for there being many cells. Only measurements without probes count.
    """
    if len(runs) < 2:
        raise click.UsageError("give two runs or more: the first is what the others are compared with")
    from qtrace.lab.workload.workload import workloads

    all_metrics = [metric for item in workloads().values() for metric in item.metrics if metric.better]
    better = {metric.name: metric.better for metric in all_metrics}
    if unknown := sorted({*metrics} - better.keys()):
        known = ", ".join(sorted(better))
        raise click.BadParameter(f"no metric {unknown[0]!r}; there are {known}", param_hint="'--metric'")
    wanted = metrics or [metric.name for metric in all_metrics if metric.headline]
    first, *others = [Answers(RunReader.open(run)) for run in runs]
    found = [
        Comparison.of(first, other, better, metrics=wanted, margin=margin, relative=relative)
        for other in others
    ]
    if form == "json":
        echo_json([item.to_json() for item in found])
    else:
        click.echo("\n".join((as_text if form == "text" else as_markdown)(item) for item in found), nl=False)
    for answers in (first, *others):
        for damaged in answers.run.damaged:
            click.echo(f"!!  damaged and left out: {answers.run.path}: {damaged}", err=True)
    verdicts = Counter(row["verdict"] for item in found for row in item.rows)
    fatal = ("slower", "faster") if fail_on == "different" else (fail_on,)
    if any(verdicts[verdict] for verdict in fatal if verdict):
        sys.exit(_FAILED_ON)
