"""`qtrace walk`: the path of a frame through QEMU's source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import click

from qtrace.cli._console import echo_json, plain
from qtrace.cli._options import flag_errors, index_option
from qtrace.model import Direction, Evidence, Path, Step

__all__ = ["command"]


@click.command("walk")
@click.argument("nic", required=False)
@click.argument("netdev", required=False)
@click.option("--direction", type=click.Choice([way.value for way in Direction]))
@click.option(
    "--vhost", is_flag=True, help="Let the kernel carry the frames (the same as NETDEV 'tap,vhost=on')."
)
@click.option("--from", "first", metavar="F", help="Instead of a path: the calls from the function F …")
@click.option("--to", "last", metavar="G", help="… to the function G.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "md", "mermaid", "html"]),
    default="text",
    show_default=True,
)
@index_option
def command(
    nic: str | None,
    netdev: str | None,
    direction: str | None,
    vhost: bool,
    first: str | None,
    last: str | None,
    form: str,
    index_name: str,
) -> None:
    """Walk from the guest's doorbell to the host's system call, or back.

    NIC is a model or type (e1000, virtio-net-pci), NETDEV a back end (user, tap). The page that
    --format html writes to stdout shows each step's source, read from the indexed tree.
    """
    from qtrace.source.between import between
    from qtrace.source.walk import walk
    from qtrace.store.index import find_index

    title, end = "", ""
    data: dict[str, object]
    if first or last:
        if not (first and last) or nic or netdev or direction or vhost:
            raise click.UsageError("--from and --to go together, without NIC, NETDEV and --direction")
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
    flag_errors(index, [step.file for step in steps if step.file])
    if form == "json":
        echo_json(data)
    elif form == "html":
        from qtrace.report.walk_page import walk_page

        click.echo(walk_page(title, end, steps, index), nl=False)
    else:
        click.echo({"text": _text, "md": _markdown, "mermaid": _mermaid}[form](title, end, steps))


def _title(path: Path) -> str:
    return f"{path.nic} on {path.netdev} ({path.datapath}), {path.direction}"


def _end(path: Path) -> str:
    verb = "enters" if path.direction is Direction.RX and path.boundary.kind != "kernel" else "leaves"
    note = f": {path.boundary.note}" if path.boundary.note else ""
    return f"{verb} QEMU by the {path.boundary.kind} {path.boundary.name}{note}"


def _place(file: str, line: int) -> str:
    return plain(f"{file}:{line}" if line else file or "outside QEMU")


def _text(title: str, end: str, steps: Sequence[Step]) -> str:
    lines = [title]
    for step in steps:
        mark = f"[{step.stage}]" if step.stage else ""
        kind = step.call.kind if step.call else "hardware"
        arrow = {"direct": "->", "async": "~>"}.get(kind, "=>")
        lines.append(f"  {mark:<12}{arrow} {step.function:<36} {_place(step.file, step.line)}")
        how = step.call.how if step.call else kind
        lines += [f"{'':19}{note}" for note in step.remarks]
        lines += [f"{'':19}{how}: {item.why} ({_place(item.file, item.line)})" for item in _evidence(step)]
    return "\n".join([*lines, f"  {end}"] if end else lines)


def _markdown(title: str, end: str, steps: Sequence[Step]) -> str:
    lines = [f"**{title}**", "", "| stage | function | where | reached by |", "| --- | --- | --- | --- |"]
    for step in steps:
        kind = step.call.how if step.call else "hardware"
        reasons = [f"{item.why} ({_place(item.file, item.line)})" for item in _evidence(step)]
        how = "; ".join([f"{kind}: {'; '.join(reasons)}" if reasons else kind, *step.remarks])
        lines.append(f"| {step.stage or ''} | `{step.function}` | {_place(step.file, step.line)} | {how} |")
    return "\n".join([*lines, "", f"The frame {end}."] if end else lines)


def _evidence(step: Step) -> Sequence[Evidence]:
    return step.call.evidence if step.call else ()


def _mermaid(title: str, end: str, steps: Sequence[Step]) -> str:
    lines = ["flowchart TD"]
    for number, step in enumerate(steps):
        label = f"{step.function}<br/>{_place(step.file, step.line)}"
        shape = f'["{label}"]' if not step.stage else f'(["<b>{step.stage}</b><br/>{label}"])'
        lines.append(f"    s{number}{shape}")
        if number:
            kind = step.call.kind if step.call else ""
            kind += ", in a loop" if step.call and step.call.loop else ""
            arrow = "-->" if kind == "direct" else f"-. {kind} .->"
            lines.append(f"    s{number - 1} {arrow} s{number}")
    return "\n".join(lines)
