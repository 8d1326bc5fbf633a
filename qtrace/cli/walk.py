"""`qtrace walk`: the path of a frame through QEMU's source."""

from __future__ import annotations

import click

from qtrace.cli._console import echo_json, plain
from qtrace.model import Direction, Path

__all__ = ["command"]


@click.command("walk")
@click.argument("nic")
@click.argument("netdev")
@click.option("--direction", type=click.Choice([way.value for way in Direction]), required=True)
@click.option(
    "--vhost", is_flag=True, help="Let the kernel carry the frames (the same as NETDEV 'tap,vhost=on')."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "md", "mermaid"]),
    default="text",
    show_default=True,
)
def command(nic: str, netdev: str, direction: str, vhost: bool, form: str) -> None:
    """Walk from the guest's doorbell to the host's system call, or back.

    NIC is a model or type (e1000, virtio-net-pci), NETDEV a back end (user, tap).
    """
    from qtrace.source.walk import walk
    from qtrace.store.index import open_index

    name, _, option = netdev.partition(",")
    if option not in ("", "vhost=on", "vhost=off"):
        raise click.UsageError(f"NETDEV {netdev!r}: only 'vhost=on' can follow the name")
    datapath = "vhost-net" if vhost or option == "vhost=on" else "qemu"
    path = walk(open_index(), nic, name, datapath, direction=Direction(direction))
    if form == "json":
        echo_json(path.to_json())
    else:
        click.echo({"text": _text, "md": _markdown, "mermaid": _mermaid}[form](path))


def _place(file: str, line: int) -> str:
    return plain(f"{file}:{line}" if line else file or "outside QEMU")


def _text(path: Path) -> str:
    lines = [f"{path.nic} on {path.netdev} ({path.datapath}), {path.direction}"]
    for step in path.steps:
        mark = f"[{step.stage}]" if step.stage else ""
        kind = step.call.kind if step.call else "hardware"
        arrow = {"direct": "->", "async": "~>"}.get(kind, "=>")
        lines.append(f"  {mark:<12}{arrow} {step.function:<36} {_place(step.file, step.line)}")
        for item in step.call.evidence if step.call else ():
            lines.append(f"                   {kind}: {item.why} ({_place(item.file, item.line)})")
    lines.append(f"  leaves QEMU by the {path.boundary.kind} {path.boundary.name}")
    return "\n".join(lines)


def _markdown(path: Path) -> str:
    lines = [
        f"**{path.nic} on {path.netdev} ({path.datapath}), {path.direction}**",
        "",
        "| stage | function | where | reached by |",
        "| --- | --- | --- | --- |",
    ]
    for step in path.steps:
        kind = step.call.kind if step.call else "hardware"
        why = (
            "; ".join(f"{item.why} ({_place(item.file, item.line)})" for item in step.call.evidence)
            if step.call
            else ""
        )
        lines.append(
            f"| {step.stage or ''} | `{step.function}` | {_place(step.file, step.line)} | {kind}"
            f"{': ' + why if why else ''} |"
        )
    return "\n".join(lines)


def _mermaid(path: Path) -> str:
    lines = ["flowchart TD"]
    for number, step in enumerate(path.steps):
        label = f"{step.function}<br/>{_place(step.file, step.line)}"
        shape = f'["{label}"]' if not step.stage else f'(["<b>{step.stage}</b><br/>{label}"])'
        lines.append(f"    s{number}{shape}")
        if number:
            kind = step.call.kind if step.call else ""
            arrow = "-->" if kind == "direct" else f"-. {kind} .->"
            lines.append(f"    s{number - 1} {arrow} s{number}")
    return "\n".join(lines)
