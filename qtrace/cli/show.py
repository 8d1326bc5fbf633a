"""`qtrace show SYMBOL`: a function's place, its callers, its callees, and the tables that hold it."""

from __future__ import annotations

from typing import Any

import click

from qtrace.cli._console import echo_json, plain
from qtrace.cli._help import Verb
from qtrace.cli._options import flag_errors, index_option, named_index

__all__ = ["command"]


@click.command(
    "show",
    cls=Verb,
    examples=(
        ("qtrace show tap_receive_iov", "its callers, its callees, the tables that hold it"),
        ("qtrace show --unresolved", "the indirect calls that the index could not resolve"),
    ),
)
@click.argument("symbol", required=False)
@click.option("--unresolved", is_flag=True, help="List the indirect calls that are not resolved.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@index_option
def command(symbol: str | None, unresolved: bool, form: str, index_name: str) -> None:
    """Show a function of QEMU: its callers, its callees, and the tables that hold it.

    With --unresolved, list every indirect call that could not be resolved, in SYMBOL or in the whole tree.
    """
    from qtrace.path.show import about, unresolved_calls

    index = named_index(index_name)
    if unresolved:
        calls = unresolved_calls(index, symbol)
        if form == "json":
            echo_json(calls)
            return
        for call in calls:
            click.echo(plain(f"{call['file']}:{call['line']}  {call['caller']} calls {call['target']}"))
        click.echo(f"{len(calls)} indirect calls are not resolved", err=True)
        return
    if symbol is None:
        raise click.UsageError("give a SYMBOL, or --unresolved")
    found = about(index, symbol)
    flag_errors(index, [item["file"] for item in found if item["file"]])
    if form == "json":
        echo_json(found)
    else:
        click.echo("\n\n".join(_text(item) for item in found))


def _text(item: dict[str, Any]) -> str:
    static = "static, " if item["static"] else ""
    lines = [f"{item['name']}  ({static}{item['file'] or 'outside the indexed tree'}:{item['line']})"]
    for title, key in (("called by", "callers"), ("calls", "callees")):
        if item[key]:
            lines.append(f"  {title}")
        for call in item[key]:
            how = "" if call["kind"] == "direct" else f"  [{call['kind']}: {call['field'] or call['rule']}]"
            how += f"  {call['confidence']}" if call["confidence"] != "exact" else ""
            lines.append(f"    {call['function']:<40} {call['file']}:{call['line']}{how}")
            lines += [f"        {why['why']} ({why['file']}:{why['line']})" for why in call["evidence"]]
    if item["tables"]:
        lines.append("  stands in")
    for table in item["tables"]:
        lines.append(
            f"    {table['struct']}.{table['field']} of {table['variable']}  {table['file']}:{table['line']}"
        )
    if item["unresolved"]:
        lines.append("  calls that are not resolved")
    lines += [f"    {call['target']}  {call['file']}:{call['line']}" for call in item["unresolved"]]
    return plain("\n".join(lines))
