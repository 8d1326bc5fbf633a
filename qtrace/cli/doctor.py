"""`qtrace doctor`: checks this machine for every prerequisite, with a command that installs each missing
one."""

from __future__ import annotations

import sys

import click

from qtrace.cli._console import echo_json
from qtrace.cli._help import Verb

__all__ = ["command"]


@click.command(
    "doctor",
    cls=Verb,
    examples=(("qtrace doctor", "each thing that is missing, and the command that mends it"),),
)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def command(form: str) -> None:
    """Check every program, package, kernel feature and right that qtrace uses.

    The exit status is 1 if 'qtrace bench' cannot run here.
    """
    from qtrace.doctor import check_machine

    checks = check_machine()
    ok = all(check.ok for check in checks if check.required)
    if form == "json":
        echo_json([{**check.to_json()} for check in checks])
        sys.exit(0 if ok else 1)
    width = max(len(check.name) for check in checks)
    for check in checks:
        mark = (
            click.style("ok", fg="green")
            if check.ok
            else click.style("--", fg="red" if check.required else "yellow")
        )
        click.echo(f"{mark}  {check.name:<{width}}  {check.found}")
        if check.mend:
            click.echo(f"    {'':<{width}}  {check.mend}")
    if not ok:
        click.echo("\nindex, map, walk, show, and report of a stored run work nevertheless.")
        sys.exit(1)
