"""`qtrace report RUN`: renders a stored run as Markdown, HTML and SVG, or as JSON on stdout."""

from __future__ import annotations

from pathlib import Path

import click

from qtrace.cli._console import echo_json
from qtrace.cli._help import Verb
from qtrace.report.answers import Answers
from qtrace.report.render import FORMATS, render
from qtrace.store.run import RunReader

__all__ = ["command"]


@click.command(
    "report",
    cls=Verb,
    examples=(("qtrace report RUN", "render a stored run as Markdown, HTML and SVG"),),
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="The report's folder [default: RUN/report].",
)
@click.option(
    "--format", "form", type=click.Choice(["all", *FORMATS, "json"]), default="all", show_default=True
)
def command(run: Path, output: Path | None, form: str) -> None:
    """Render the report of RUN, a folder that 'qtrace bench' or 'qtrace record' wrote.

    With --format json the answers of all analyses go to stdout, and no file is written.
    """
    reader = RunReader.open(run)
    if form == "json":
        echo_json(Answers(reader).to_json())
    else:
        formats = FORMATS if form == "all" else (form,)
        for file in render(reader, output or run / "report", formats):
            if file.suffix != ".svg":
                click.echo(str(file))
    for damaged in reader.damaged:
        click.echo(f"!!  damaged and left out: {damaged}", err=True)
