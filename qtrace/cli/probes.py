"""`qtrace probes`: the probe families, the needs of each, and whether it can attach here."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from qtrace.cli._console import ConsoleProgress, echo_json, plain
from qtrace.cli._help import Verb
from qtrace.cli._options import index_option

__all__ = ["command"]


@click.command(
    "probes",
    cls=Verb,
    examples=(
        ("qtrace probes", "every probe family, and whether it works here"),
        ("qtrace probes --pid PID", "the place of each probe in a running QEMU"),
    ),
)
@click.option(
    "--pid", type=click.IntRange(min=1), help="List the probes of this running QEMU's paths instead."
)
@click.option("--netdev", default="", help="With --pid: only the NIC on the netdev of this id.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@index_option
def command(pid: int | None, netdev: str, form: str, index_name: str) -> None:
    """List the eBPF probe families: the functions that each measures, and whether it works here.

    With --pid, list each stage of that process's paths with the place of its probe, or with the reason why it
    has none. Nothing is attached.
    """
    if pid is not None:
        _of_process(pid, netdev, form, index_name)
        return
    from qtrace.measure.instrument_registry import instruments
    from qtrace.probes import families
    from qtrace.trace.bpf.prerequisites import why_not

    rows: list[dict[str, Any]] = []
    found = [family for family in families() if family.points]
    found += [entry.family for entry in instruments().values()]
    for family in sorted(found, key=lambda family: family.name):
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


def _of_process(pid: int, netdev: str, form: str, index_name: str) -> None:
    from qtrace.measure.probe_list import place_probes
    from qtrace.measure.qemu_process import QemuProcess

    progress = ConsoleProgress()
    try:
        process = QemuProcess(pid, index_name, progress)
        nics = process.measured(netdev, tracing=False)
        title = ", ".join(map(str, nics))
        progress.step(f"looking for the stages of {process}: {title} in {process.program}")
        placed = place_probes(process, nics)
    finally:
        progress.close()
    if form == "json":
        echo_json([asdict(item) | {"attachable": not item.reason} for item in placed])
        return
    for item in placed:
        where = f"{Path(item.binary).name}+{item.offset:#x}" if item.binary else ""
        state = f"cannot: {item.reason}" if item.reason else f"{item.kind:<11}{where}"
        stage = "  or" if item.way_of else item.stage
        click.echo(plain(f"{item.direction:<3}{stage:<11}{item.function:<34}{state}"))
