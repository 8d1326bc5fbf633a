"""`qtrace report RUN`: renders a stored run as Markdown, HTML and SVG, or as JSON on stdout."""

from __future__ import annotations

from pathlib import Path

import click

from qtrace.cli._console import echo_json
from qtrace.cli._help import Verb
from qtrace.cli._options import language_option
from qtrace.report.answers import Answers
from qtrace.report.formats.first_page import to_text
from qtrace.report.render import FORMATS, build, render
from qtrace.store.run import RunReader

__all__ = ["command"]


@click.command(
    "report",
    cls=Verb,
    examples=(
        ("qtrace report RUN", "render a stored run as Markdown, HTML and SVG"),
        ("qtrace report RUN --format text", "what is fastest, by how much, and why"),
        ("qtrace report RUN --lang zh", "the same in Chinese"),
    ),
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="The report's folder [default: RUN/report].",
)
@language_option
@click.option(
    "--format", "form", type=click.Choice(["all", *FORMATS, "text", "json"]), default="all", show_default=True
)
def command(run: Path, output: Path | None, language: str, form: str) -> None:
    """Render the report of RUN, a folder that 'qtrace bench' or 'qtrace record' wrote.

    With --format text the answers go to stdout, and with --format json those of all analyses in full; no file
    is written.
    """
    reader = RunReader.open(run)
    if form == "json":
        echo_json(Answers(reader).to_json())
    elif form == "text":
        click.echo(to_text(build(reader, language)), nl=False)
    else:
        formats = FORMATS if form == "all" else (form,)
        for file in render(reader, output or run / "report", formats, language):
            if file.suffix != ".svg":
                click.echo(str(file))
    for damaged in reader.damaged:
        click.echo(f"!!  damaged and left out: {damaged}", err=True)
