"""`qtrace analyses`: which questions a run can be asked."""

from __future__ import annotations

import click

from qtrace.analyses.methods.registry import analyses
from qtrace.cli._console import echo_json

__all__ = ["command"]


@click.command("analyses")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def command(form: str) -> None:
    """List the questions that a run can be asked ('qtrace report RUN --format json' answers them)."""
    known = analyses()
    if form == "json":
        echo_json(
            [
                {"name": item.name, "question": item.question, "columns": list(item.columns)}
                for item in known.values()
            ]
        )
        return
    width = max(len(name) for name in known)
    for item in known.values():
        click.echo(f"{item.name:<{width}}  {item.question}")
