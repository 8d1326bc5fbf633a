"""`qtrace walk`: the path of a frame through QEMU's source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

import click

from qtrace.cli._console import echo_json, plain
from qtrace.cli._help import Verb, completing
from qtrace.cli._options import flag_errors, index_option
from qtrace.model import Direction, Evidence, Path, Step

if TYPE_CHECKING:
    from qtrace.report.measured import Measured

__all__ = ["command"]


def _nics() -> list[str]:
    from qtrace.path.catalogue import nics
    from qtrace.store.index import find_index

    return [nic.name for nic in nics(find_index(""))]


def _netdevs() -> list[str]:
    from qtrace.path.netdevs import netdev_names
    from qtrace.store.index import find_index

    return netdev_names(find_index(""))


@click.command(
    "walk",
    cls=Verb,
    examples=(
        (
            "qtrace walk virtio-net-pci tap --direction tx",
            "from the doorbell to writev, each step with its evidence",
        ),
        ("qtrace walk e1000 tap --direction rx --run RUN", "the same with the counts of a run at each stage"),
        ("qtrace walk --from tap_send --to e1000_receive_iov", "the calls between any two functions"),
    ),
)
@click.argument("nic", required=False, shell_complete=completing(_nics))
@click.argument("netdev", required=False, shell_complete=completing(_netdevs))
@click.option(
    "--direction",
    type=click.Choice([direction.value for direction in Direction]),
    help="tx: from the guest to the host; rx: from the host to the guest.",
)
@click.option(
    "--vhost", is_flag=True, help="Let the kernel carry the frames (the same as NETDEV 'tap,vhost=on')."
)
@click.option("--from", "first", metavar="F", help="Instead of a path, show the calls from the function F …")
@click.option("--to", "last", metavar="G", help="… to the function G.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "md", "mermaid", "html"]),
    default="text",
    show_default=True,
)
@click.option(
    "--run",
    "run",
    type=click.Path(path_type=FilePath),
    help="Show beside each stage the counts and times of this run (of 'qtrace bench' or 'qtrace record').",
)
@click.option("--workload", default="", help="With --run: the workload to show, such as 'tcp' or 'tcp rx'.")
@index_option
def command(
    nic: str | None,
    netdev: str | None,
    direction: str | None,
    vhost: bool,
    first: str | None,
    last: str | None,
    form: str,
    run: FilePath | None,
    workload: str,
    index_name: str,
) -> None:
    """Walk a frame's path through QEMU's source, from the guest's doorbell to the host, or back.

    NIC is a model or type (e1000, virtio-net-pci), NETDEV a back end (user, tap). --format html writes a
    page to stdout that shows each step's source, read from the indexed tree.

    With --run each stage shows its calls, frames and bytes, and the time of a frame to the next stage.
    """
    from qtrace.path.calls_between import between
    from qtrace.path.walk import walk
    from qtrace.store.index import find_index

    title, end = "", ""
    figures: Measured | None = None
    data: dict[str, object]
    if first or last:
        if not (first and last) or nic or netdev or direction or vhost or run:
            raise click.UsageError("--from and --to go together, without NIC, NETDEV, --direction and --run")
        index = find_index(index_name)
        steps: Sequence[Step] = between(index, first, last)
        title = f"from {first} to {last}"
        data = {"from": first, "to": last, "steps": [asdict(step) for step in steps]}
    else:
        if not (nic and netdev and direction):
            raise click.UsageError("give NIC, NETDEV and --direction, or --from and --to")
        name, _, option = netdev.partition(",")
        if option not in ("", "vhost=on", "vhost=off"):
            raise click.UsageError(f"NETDEV {netdev!r}: only 'vhost=on' can follow the name")
        if vhost and option == "vhost=off":
            raise click.UsageError(f"--vhost contradicts NETDEV {netdev!r}")
        index = find_index(index_name)
        datapath = "vhost-net" if vhost or option == "vhost=on" else "qemu"
        path = walk(index, nic, name, datapath, direction=Direction(direction))
        title, end, steps, data = _title(path), _end(path), path.steps, path.to_json()
        if run:
            figures = _figures(run, path, workload)
            data = data | {"measured": figures.to_json()}
    flag_errors(index, [step.file for step in steps if step.file])
    if form == "json":
        echo_json(data)
    elif form == "html":
        from qtrace.report.formats.walk_html import walk_page

        click.echo(walk_page(title, end, steps, index, figures), nl=False)
    else:
        click.echo({"text": _text, "md": _markdown, "mermaid": _mermaid}[form](title, end, steps, figures))


def _figures(run: FilePath, path: Path, workload: str) -> Measured:
    from qtrace.report.measured import measured
    from qtrace.store.run import RunReader

    reader = RunReader.open(run)
    figures = measured(reader, path, workload)
    for damaged in reader.damaged:
        click.echo(f"!!  damaged and left out: {damaged}", err=True)
    return figures


def _notes(figures: Measured | None, step: Step) -> list[str]:
    return figures.at(step) if figures else []


def _title(path: Path) -> str:
    return f"{path.nic} on {path.netdev} ({path.datapath}), {path.direction}"


def _end(path: Path) -> str:
    verb = "enters" if path.direction is Direction.RX and path.boundary.kind != "kernel" else "leaves"
    note = f": {path.boundary.note}" if path.boundary.note else ""
    return f"{verb} QEMU by the {path.boundary.kind} {path.boundary.name}{note}"


def _place(file: str, line: int) -> str:
    return plain(f"{file}:{line}" if line else file or "outside QEMU")


def _text(title: str, end: str, steps: Sequence[Step], figures: Measured | None) -> str:
    lines = [title, *(f"  {line}" for line in figures.head())] if figures else [title]
    for step in steps:
        mark = f"[{step.stage}]" if step.stage else ""
        kind = step.call.kind if step.call else "hardware"
        arrow = {"direct": "->", "async": "~>"}.get(kind, "=>")
        lines.append(f"  {mark:<12}{arrow} {step.function:<36} {_place(step.file, step.line)}")
        how = step.call.how if step.call else kind
        lines += [f"{'':14}|    {note}" for note in _notes(figures, step)]
        lines += [f"{'':19}{note}" for note in step.remarks]
        lines += [f"{'':19}{how}: {item.why} ({_place(item.file, item.line)})" for item in _evidence(step)]
    lines += [f"  {line}" for line in figures.tail()] if figures else []
    return "\n".join([*lines, f"  {end}"] if end else lines)


def _markdown(title: str, end: str, steps: Sequence[Step], figures: Measured | None) -> str:
    lines = [f"**{title}**", ""]
    lines += [line for text in figures.head() for line in (_cell(text), "")] if figures else []
    lines.append("| stage | function | where | reached by |" + " measured |" * bool(figures))
    lines.append("| --- | --- | --- | --- |" + " --- |" * bool(figures))
    for step in steps:
        kind = step.call.how if step.call else "hardware"
        reasons = [f"{item.why} ({_place(item.file, item.line)})" for item in _evidence(step)]
        how = "; ".join([f"{kind}: {'; '.join(reasons)}" if reasons else kind, *step.remarks])
        row = f"| {step.stage or ''} | `{step.function}` | {_place(step.file, step.line)} | {how} |"
        lines.append(row + f" {_cell('; '.join(_notes(figures, step)))} |" * bool(figures))
    lines += ["", *map(_cell, figures.tail())] if figures else []
    return "\n".join([*lines, "", f"The frame {end}."] if end else lines)


def _cell(text: str) -> str:
    """Text of a run in a Markdown table: it is data."""
    return plain(text).replace("|", "\\|").replace("<", "&lt;")


def _evidence(step: Step) -> Sequence[Evidence]:
    return step.call.evidence if step.call else ()


def _mermaid(title: str, end: str, steps: Sequence[Step], figures: Measured | None) -> str:
    lines = ["flowchart TD"]
    for number, step in enumerate(steps):
        label = "<br/>".join(
            (
                step.function,
                _place(step.file, step.line),
                *(_quoted(note) for note in _notes(figures, step)),
            )
        )
        shape = f'["{label}"]' if not step.stage else f'(["<b>{step.stage}</b><br/>{label}"])'
        lines.append(f"    s{number}{shape}")
        if number:
            kind = step.call.kind if step.call else ""
            kind += ", in a loop" if step.call and step.call.loop else ""
            arrow = "-->" if kind == "direct" else f"-. {kind} .->"
            lines.append(f"    s{number - 1} {arrow} s{number}")
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return plain(text).replace('"', "'").replace("<", "&lt;")
