"""`qtrace record PID`: count the stages of a running QEMU's paths, once."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from qtrace.analyses.methods.traffic_change import CHANGED
from qtrace.cli._console import ConsoleProgress, echo_json, plain
from qtrace.cli._help import Verb
from qtrace.cli._options import budget_option, effort_of, index_option, level_option

__all__ = ["command"]

_FIRST = ("not seen here", CHANGED, "suppressed", "left out")


@click.command(
    "record",
    cls=Verb,
    examples=(
        ("qtrace record PID", "count the stages of a running QEMU for 10 s"),
        ("qtrace record PID --sample 100", "keep one frame in 100 with its time at each stage too"),
        (
            "qtrace record PID --level full --max-overhead 2%",
            "every function, within 2 % of a processor",
        ),
    ),
)
@click.argument("pid", type=click.IntRange(min=1))
@click.option(
    "--duration",
    type=click.FloatRange(min=0.1, max=86400),
    default=10.0,
    show_default=True,
    metavar="S",
    help="How long to count, in seconds.",
)
@click.option("--netdev", "netdev", default="", help="Count only the NIC on the netdev of this id.")
@click.option(
    "--cpu-hertz",
    type=click.IntRange(0, 997),
    default=199,
    show_default=True,
    metavar="N",
    help="Samples of the threads' CPU time, a second and processor; 0 takes none.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    help="Keep one frame in N: its time at each stage, and its first 256 bytes. See 'qtrace export'.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The run's folder [default: runs/PID-TIME]."
)
@level_option
@budget_option
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@index_option
def command(
    pid: int,
    duration: float,
    netdev: str,
    cpu_hertz: int,
    sample: int | None,
    output: Path | None,
    level: str,
    budget: str,
    form: str,
    index_name: str,
) -> None:
    """Count the frames that pass each stage of the running QEMU with process id PID, and keep the counts.

    The NICs and netdevs are read from the process's command line and memory, and each has counts of its own.
    Ctrl-C ends the window early and keeps the counts. 'qtrace report' renders the run.
    """
    from datetime import datetime

    from qtrace.measure.qemu_process import QemuProcess
    from qtrace.measure.record import record_process

    effort = replace(effort_of(level, budget), cpu_hertz=cpu_hertz, sample=sample or 0)
    progress = ConsoleProgress()
    try:
        process = QemuProcess(pid, index_name, progress)
        nics = process.measured(netdev)
        progress.done(f"{process}: {', '.join(map(str, nics))}")
        folder = (output or Path("runs") / f"{pid}-{datetime.now():%Y%m%d-%H%M%S}").absolute()
        live = record_process(process, nics, duration, folder, progress, sys.argv[1:], effort)
        progress.done(f"{live.snapshot.seconds:.1f} s counted; run: {folder}")
    finally:
        progress.close()
    if form == "json":
        rows: dict[str, list[dict[str, Any]]] = {}
        for netdev, tables in live.tables.items():
            for name, found in tables.items():
                rows.setdefault(name, []).extend({"netdev_id": netdev} | row for row in found)
        echo_json({"run": str(folder), "seconds": live.snapshot.seconds, **rows})
        return
    for netdev, tables in live.tables.items():
        if len(live.tables) > 1:
            click.echo(f"{plain(netdev)}:")
        _print(tables)


def _print(tables: dict[str, list[dict[str, Any]]]) -> None:
    from qtrace.measure.instrument_registry import instruments

    for row in tables["ledger"]:
        if row["kind"] in _FIRST:
            click.echo(f"NOT EXACT: {row['kind']}: {plain(row['item'])} ({plain(row['note'])})")
    click.echo(f"{'':3}{'stage':<11}{'function':<36}{'calls':>12}{'frames':>12}{'bytes':>16}")
    for row in sorted(tables["stages"], key=lambda row: (row["direction"] != "tx", row["position"])):
        head = f"{row['direction']:<3}{row['stage']:<11}{plain(row['function']):<36}"
        if row["attached"]:
            line = f"{head}{row['calls']:>12,}{row['frames']:>12,}{row['bytes']:>16,}"
            click.echo(line + _how_exact(row))
        else:
            click.echo(f"{head}{'not measured: ' + plain(row['note'])}")
    for row in tables["queues"]:
        if row["stage"] == "deliver":
            click.echo(
                f"{row['direction']:<3}queue {row['queue']}: {row['frames']:,} frames, {row['bytes']:,} bytes"
            )
    for row in tables["frames"]:
        ends = f"{row['from_function']} to {row['to_function']}"
        rest = f"{row['ambiguous']:,} ambiguous, {row['unmatched']:,} unmatched"
        matched = f"{row['matched']:,} of {row['frames']:,} frames"
        click.echo(plain(f"{row['direction']} followed from {ends}: {matched}; {rest}"))
    for row in tables["devices"]:
        sent, received = row["tx_packets"], row["rx_packets"]
        dropped = row["tx_dropped"] + row["rx_dropped"]
        said = f"the tap {plain(row['device'])} itself: {received:,} frames from the guest, {sent:,} to it"
        click.echo(said + (f", {dropped:,} dropped" if dropped else ""))
    for entry in instruments().values():
        for line in entry.lines(tables):
            click.echo(plain(line))
    for row in tables["ledger"]:
        if row["kind"] != "unattached" and row["kind"] not in _FIRST:
            click.echo(f"{row['kind']}: {plain(row['item'])}: {row['count']:,} ({plain(row['note'])})")


def _how_exact(row: dict[str, Any]) -> str:
    """The error of a scaled row, to be printed behind it."""
    if not row["windowed"]:
        return ""
    name = "frames" if row["frames"] else "calls"
    half = row.get(f"{name}_error")
    error = f" ± {100 * half / row[name]:.1f} %" if half is not None and row[name] else ""
    return f"  {name}{error}, observed {row['observed']:.0%} of the time"
