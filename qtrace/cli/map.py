"""`qtrace map`: the back ends and NICs of a tree, and the differences between two trees."""

from __future__ import annotations

from typing import Any

import click

from qtrace.cli._console import echo_json, plain
from qtrace.cli._help import Verb
from qtrace.cli._options import flag_errors, index_option, named_index

__all__ = ["command"]


@click.command(
    "map",
    cls=Verb,
    examples=(
        ("qtrace map", "every back end and NIC with its callbacks"),
        ("qtrace map --diff 7.2.22 10.0.13", "the changes between two indexed trees"),
    ),
)
@click.option(
    "--diff",
    "pair",
    nargs=2,
    metavar="A B",
    help="Show the changes from index A to index B, each a QEMU version that was indexed, or an index file.",
)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@index_option
def command(pair: tuple[str, str] | None, form: str, index_name: str) -> None:
    """List every back end and NIC with the functions that carry its frames."""
    from qtrace.path.catalogue import map_tree
    from qtrace.path.difference import difference

    if pair:
        if index_name:
            raise click.UsageError("--diff names both indexes: omit --index")
        data = difference(*(map_tree(named_index(name)) for name in pair))
        if form == "json":
            echo_json(data)
        else:
            click.echo(_difference(data))
        return
    index = named_index(index_name)
    data = map_tree(index)
    tables = [table for kind in ("backends", "nics") for entry in data[kind] for table in entry["tables"]]
    flag_errors(index, [table["file"] for table in tables])
    if form == "json":
        echo_json(data)
        return
    click.echo(f"QEMU {data['qemu']}: back ends")
    for entry in data["backends"]:
        guard = f"only if {entry['guard']}" if entry["guard"] else ""
        _line(entry["name"], entry["init"], entry["tables"], guard, entry["built"])
    click.echo("\nNICs")
    for entry in data["nics"]:
        table = entry["tables"][0]
        place = {"file": table["file"], "line": table["line"]}
        _line(entry["name"], place, entry["tables"], entry["kconfig"], entry["built"])


def _line(name: str, place: dict[str, Any], tables: list[dict[str, Any]], needs: str, built: bool) -> None:
    receives = {
        callbacks[field]["function"]
        for callbacks in (table["callbacks"] for table in tables)
        for field in ("receive_iov", "receive")
        if field in callbacks
    }
    where = f"{place['file']}:{place['line']}"
    more = f"   {needs}" if needs else ""
    more += "" if built else "   not in this build"
    click.echo(plain(f"  {name:<22} {where:<34} {', '.join(sorted(receives)) or '-'}{more}"))


def _difference(data: dict[str, Any]) -> str:
    lines = [f"QEMU {data['from']} -> {data['to']}"]
    for kind, title in (("backends", "back end"), ("nics", "NIC")):
        lines += [f"  + {title} {name}" for name in data[kind]["added"]]
        lines += [f"  - {title} {name}" for name in data[kind]["removed"]]
        lines += [
            f"  ~ {title} {item['name']}: {item['what']}: {_side(item['before'])} -> {_side(item['after'])}"
            for item in data[kind]["changed"]
        ]
    return plain("\n".join(lines))


def _side(side: dict[str, str] | str | None) -> str:
    if side is None:
        return "none"
    return side if isinstance(side, str) else f"{side['function']} ({side['file']})"
