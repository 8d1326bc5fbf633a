"""`qtrace probes`: the probe families, what each needs, and whether it can attach here."""

from __future__ import annotations

from typing import Any

import click

from qtrace.cli._console import echo_json

__all__ = ["command"]


@click.command("probes")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def command(form: str) -> None:
    """List the eBPF probe families with the functions that each measures and whether it works here."""
    from qtrace.probes import families
    from qtrace.trace.prerequisites import why_not

    rows: list[dict[str, Any]] = []
    for family in families():
        reason = why_not(family.needs)
        rows.append(
            {
                "name": family.name,
                "summary": family.summary,
                "needs": list(family.needs),
                "functions": [point.function for point in family.points],
                "layout": list(family.layout),
                "usable": not reason,
                "reason": reason,
            }
        )
    if form == "json":
        echo_json(rows)
        return
    for row in rows:
        state = "works here" if row["usable"] else f"not here: {row['reason']}"
        click.echo(f"{row['name']}: {row['summary']}\n    needs {', '.join(row['needs'])}; {state}")
        for function in row["functions"]:
            click.echo(f"    {'any other function of the path' if function == '*' else function}")
