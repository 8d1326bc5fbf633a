"""`qtrace why PID|RUN`: what limits or breaks a QEMU's network, and what would change it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qtrace.cli._console import ConsoleProgress, echo_json, plain
from qtrace.cli._diagnosis import as_json, as_markdown, as_text, cause_as_text, causes_as_text
from qtrace.cli._help import Verb
from qtrace.cli._options import index_option

if TYPE_CHECKING:
    from qtrace.diagnosis.observation import Observation

__all__ = ["command"]


@click.command(
    "why",
    cls=Verb,
    examples=(
        ("qtrace why PID", "look at a running QEMU for 10 s and say what limits or breaks its network"),
        ("qtrace why RUN", "the same of a run that record or bench has made"),
        ("qtrace why --explain tap-without-header", "what this rule looks at, and from where on it speaks"),
    ),
)
@click.argument("what", metavar="PID|RUN", required=False, default="")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.5, max=86400),
    default=10.0,
    show_default=True,
    metavar="S",
    help="How long to look, in seconds.",
)
@click.option("--netdev", default="", help="Look at the NIC on the netdev of this id alone.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Keep what was counted as this run.")
@click.option("--explain", "explained", metavar="RULE", help="Say what a rule looks at, and do nothing else.")
@click.option("--rules", "list_rules", is_flag=True, help="List the rules, and do nothing else.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "md"]), default="text", show_default=True
)
@index_option
def command(
    what: str,
    seconds: float,
    netdev: str,
    output: Path | None,
    explained: str | None,
    list_rules: bool,
    form: str,
    index_name: str,
) -> None:
    """Say in order of weight what limits or breaks the network of the running QEMU with process id PID.

    It counts for ten seconds as 'qtrace record' does and sends nothing; no monitor is asked. Each finding has
    its evidence, what would change it, and how sure it is. RUN is a folder that 'qtrace record', 'qtrace
    bench' or --output wrote: what a run does not say is listed as not known.
    """
    from qtrace.diagnosis.cause import diagnose

    if list_rules or explained is not None:
        _say_rules(explained, form)
        return
    if not what:
        raise click.UsageError("give a process id or a run's folder")
    if what.isdigit() and not Path(what).is_dir():
        seen = [_live(int(what), seconds, netdev, output, index_name)]
    else:
        seen = _stored(Path(what))
    found = [diagnose(one) for one in seen]
    if form == "json":
        echo_json([as_json(one) for one in found] if len(found) > 1 else as_json(found[0]))
        return
    write = as_markdown if form == "md" else as_text
    click.echo(plain("\n".join(write(one) for one in found)), nl=False)


def _live(pid: int, seconds: float, netdev: str, output: Path | None, index_name: str) -> Observation:
    from qtrace.diagnosis.live_observation import observe
    from qtrace.measure.qemu_process import QemuProcess

    progress = ConsoleProgress()
    try:
        process = QemuProcess(pid, index_name, progress)
        nics = process.measured(netdev)
        progress.done(f"{process}: {', '.join(map(str, nics))}")
        return observe(process, nics, seconds, progress, sys.argv[1:], output)
    finally:
        progress.close()


def _stored(folder: Path) -> list[Observation]:
    from qtrace.diagnosis.run_observation import observations
    from qtrace.store.run import RunReader

    run = RunReader.open(folder)
    found = observations(run)
    for damaged in run.damaged:
        click.echo(f"!!  damaged and left out: {plain(damaged)}", err=True)
    return found


def _say_rules(name: str | None, form: str) -> None:
    from qtrace.diagnosis.cause import causes

    known = causes()
    chosen = [cause for cause in known if cause.name == name] if name is not None else known
    if not chosen:
        names = ", ".join(cause.name for cause in known)
        raise click.BadParameter(f"there is no rule {name!r} (there are: {names})", param_hint="--explain")
    if form == "json":
        keys = ("name", "looks_for", "explained", "looks_at", "threshold")
        echo_json([{key: getattr(cause, key) for key in keys} for cause in chosen])
    else:
        click.echo(plain(cause_as_text(chosen[0]) if name is not None else causes_as_text(chosen)))
