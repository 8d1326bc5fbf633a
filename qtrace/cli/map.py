"""`qtrace map`: the back ends and NICs of a tree."""

from __future__ import annotations

from typing import Any

import click

from qtrace.cli._console import echo_json

__all__ = ["command"]


@click.command("map")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def command(form: str) -> None:
    """List every back end and NIC, with the functions that carry its frames."""
    from qtrace.source.catalogue import map_tree
    from qtrace.store.index import open_index

    data = map_tree(open_index())
    if form == "json":
        echo_json(data)
        return
    click.echo(f"QEMU {data['qemu']}: back ends")
    for entry in data["backends"]:
        _line(entry["name"], entry["init"], entry["tables"], entry["guard"])
    click.echo("\nNICs")
    for entry in data["nics"]:
        table = entry["tables"][0]
        _line(entry["name"], {"file": table["file"], "line": table["line"]}, entry["tables"], None)


def _line(name: str, place: dict[str, Any], tables: list[dict[str, Any]], guard: str | None) -> None:
    receives = {
        callbacks[field]["function"]
        for callbacks in (table["callbacks"] for table in tables)
        for field in ("receive_iov", "receive")
        if field in callbacks
    }
    where = f"{place['file']}:{place['line']}"
    more = f"   only if {guard}" if guard else ""
    click.echo(f"  {name:<22} {where:<34} {', '.join(sorted(receives)) or '-'}{more}")
