"""`qtrace analyses`: the questions that a run answers."""

from __future__ import annotations

import click

from qtrace.cli._console import echo_json
from qtrace.cli._help import Verb

__all__ = ["command"]


@click.command(
    "analyses",
    cls=Verb,
    examples=(("qtrace analyses", "the questions that a report answers"),),
)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def command(form: str) -> None:
    """List the questions that the analyses answer about a run.

    'qtrace report RUN --format json' answers all of them.
    """
    from qtrace.analyses.methods.registry import analyses

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
