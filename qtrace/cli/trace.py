"""`qtrace trace PID`: the stages of a running QEMU, live."""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
import textwrap
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from qtrace.cli._console import ConsoleProgress, plain
from qtrace.cli._help import Verb
from qtrace.cli._options import budget_option, effort_of, index_option, level_option
from qtrace.report.text import MISSING, bits, count, duration, plain_number

if TYPE_CHECKING:
    from qtrace.measure.drops import Drops
    from qtrace.measure.live import Lap, StageRate

__all__ = ["command"]

_CALLS = ("kick", "interrupt")  # one call may stand for many frames
_WIDTH = 80  # characters of a line, as of the tables
_SHOWN = 4  # system calls and threads shown


@click.command(
    "trace",
    cls=Verb,
    examples=(("qtrace trace PID", "the stages of a running QEMU, live"),),
)
@click.argument("pid", type=click.IntRange(min=1))
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1, max=3600),
    default=1.0,
    show_default=True,
    metavar="S",
    help="Seconds between two updates.",
)
@click.option(
    "--duration", type=click.FloatRange(min=0.1, max=86400), metavar="S", help="End after this many seconds."
)
@click.option("--netdev", default="", help="Show only the NIC on the netdev of this id.")
@level_option
@budget_option
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@index_option
def command(
    pid: int,
    interval: float,
    duration: float | None,
    netdev: str,
    level: str,
    budget: str,
    form: str,
    index_name: str,
) -> None:
    """Show the frames that pass each stage of the running QEMU with process id PID, live.

    Each NIC and direction has frames and bits per second, calls, and the time from the stage before (p50,
    p99); then the frames that were dropped or delayed, with the reason: at the tap, in QEMU's queue, or
    stopped on the way. On a terminal the table stays in place; elsewhere each update is printed below the
    last; with --format json each update is one object on a line of its own. Ctrl-C ends it and leaves nothing
    attached. For exact counts that are kept, use 'qtrace record'.
    """
    from qtrace.measure.live import watch_process
    from qtrace.measure.qemu_process import QemuProcess

    effort = effort_of(level, budget)
    progress = ConsoleProgress()
    try:
        process = QemuProcess(pid, index_name, progress)
        nics = process.measured(netdev)
        title = f"{process}: {', '.join(map(str, nics))}"
        with contextlib.closing(watch_process(process, nics, interval, progress, effort)) as laps:
            most = max(1, round(duration / interval)) if duration else None
            _show(itertools.islice(laps, most), title, form)
    finally:
        progress.close()


def _show(laps: Iterator[Lap], title: str, form: str) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    if form == "json":
        for lap in laps:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            click.echo(json.dumps({"time": now} | lap.to_json(), ensure_ascii=False))
    elif sys.stdout.isatty():
        with Live(console=Console(), auto_refresh=False, vertical_overflow="crop") as screen:
            for lap in laps:
                screen.update(Text(_table(lap, title), no_wrap=True, overflow="ellipsis"), refresh=True)
    else:
        for lap in laps:
            click.echo(_table(lap, title) + "\n")


def _table(lap: Lap, title: str) -> str:
    head = f"{title}, {time.strftime('%H:%M:%S')}, {lap.seconds:.1f} s"
    return "\n".join(plain(line) for line in (head, *_lines(lap)))


def _lines(lap: Lap) -> list[str]:
    lines = [f"NOT EXACT {item}" for item in lap.suppressed] + [f"LOST {item}" for item in lap.lost]
    ways = list(dict.fromkeys((stage.netdev, stage.direction) for stage in lap.stages))
    several = len({netdev for netdev, _ in ways}) > 1
    total = 0
    for netdev, direction in ways:
        frames = lap.frames(netdev, direction)
        total += frames
        lines.append(
            f"{direction:<3}{'stage':<10}{netdev[:26] if several else 'function':<27}"
            f"{'frames/s':>9}{'rate':>13}{'p50':>9}{'p99':>9}"
        )
        mine = (stage for stage in lap.stages if (stage.netdev, stage.direction) == (netdev, direction))
        lines += [_row(stage, lap.seconds, frames) for stage in mine]
        troubled = (one for one in lap.drops if (one.netdev, one.direction) == (netdev, direction))
        lines += [line for one in troubled for line in _troubles(one)]
    calls = [
        f"{name}{f' ({fd})' if fd else ''} {_each(made, total)}"
        + (f" ({count(errors)} failed)" if errors else "")
        for (name, fd), (made, errors) in itertools.islice(lap.system_calls.items(), _SHOWN)
    ]
    lines.append(f"system calls {'a frame' if total else 'in all'}: {', '.join(calls) or 'none'}")
    busy = sorted(lap.threads.items(), key=lambda item: -item[1])[:_SHOWN]
    lines.append("CPU: " + ", ".join(f"{name} {share:.0%}" for name, share in busy))
    return lines


def _troubles(drops: Drops) -> list[str]:
    """The frames that were dropped or delayed in this interval, one line for each kind."""
    parts = []
    if drops.tap_dropped:
        parts.append(f"{count(drops.tap_dropped)} dropped by the host's tap")
    if drops.queued:
        parts.append(f"{count(drops.queued)} in QEMU's queue now")
    if drops.waited:
        times = f" (p50 {duration(drops.wait_p50_ns)}, p99 {duration(drops.wait_p99_ns)})"
        parts.append(f"{count(drops.waited)} waited and went on" + (times if drops.wait_p50_ns else ""))
    said = [f"dropped or delayed: {', '.join(parts)}"] if parts else []
    for item in drops.shown:
        where = f"at {item.stage or item.function}" if item.function else "on the way"
        new = f", {count(item.new) if item.new else 'none'} of them new" if item.new < item.frames else ""
        said.append(f"stopped {where}: {count(item.frames)}{new}: {item.why}")
    return [
        line
        for text in said or ["dropped or delayed: none"]
        for line in textwrap.wrap(text, _WIDTH, initial_indent=" " * 3, subsequent_indent=" " * 6)
    ]


def _each(made: int, frames: int) -> str:
    return plain_number(made / frames) if frames else count(made)


def _row(stage: StageRate, seconds: float, frames: int) -> str:
    name = stage.function if len(stage.function) < 27 else stage.function[:25] + "…"
    head = f"   {stage.stage:<10}{name:<27}"
    if stage.calls is None or stage.frames is None:
        return f"{head}not measured"
    about = "~" if stage.observed < 1 else ""  # scaled count
    if stage.stage in _CALLS or (stage.calls and not stage.stage and not stage.frames):
        each = f"{plain_number(stage.calls / frames)} a frame" if frames else MISSING
        middle = f"{about + plain_number(stage.calls / seconds):>9}{each:>13}"
    else:
        rate = bits(8 * (stage.bytes or 0) / seconds) if stage.bytes else ""
        middle = f"{about + plain_number(stage.frames / seconds):>9}{rate:>13}"
    times = "".join(
        f"{duration(value) if value is not None else '':>9}" for value in (stage.p50_ns, stage.p99_ns)
    )
    return head + middle + times
