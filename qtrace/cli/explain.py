"""`qtrace explain`: what a QEMU command line means for its network."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from qtrace.cli._console import echo_json, plain
from qtrace.cli._options import flag_errors, index_option
from qtrace.errors import QtraceError, TargetError

__all__ = ["command"]


@click.command("explain", context_settings={"ignore_unknown_options": False})
@click.argument("line", nargs=-1, type=click.UNPROCESSED)
@click.option("--pid", type=int, help="Explain the line of a process that runs.")
@click.option("--file", "file", metavar="FILE", help="Read the line from a file, '-' for standard input.")
@click.option(
    "--config", multiple=True, metavar="FILE", help="Read this file where the line names it with -readconfig."
)
@click.option("--all", "every", is_flag=True, help="Show the options that the line does not set, too.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "md", "mermaid"]),
    default="text",
    show_default=True,
)
@index_option
def command(
    line: tuple[str, ...],
    pid: int | None,
    file: str | None,
    config: tuple[str, ...],
    every: bool,
    form: str,
    index_name: str,
) -> None:
    """Say what a QEMU command line means for its network: qtrace explain -- qemu-system-x86_64 …

    The line follows '--', as words or as one quoted text, or comes from --file or --pid. Nothing of it is
    run and no file that it names is opened. Where QEMU would refuse it, so does explain (exit status 1).
    """
    from qtrace.explain.explanation import Reader
    from qtrace.store.index import find_index

    if sum((bool(line), pid is not None, file is not None)) != 1:
        raise click.UsageError("give one of: a line after '--', --file, --pid")
    argv = _argv(line, pid, file)
    index = find_index(index_name)
    try:
        data = Reader(index).explain(argv, config, lenient=pid is not None)
    except QtraceError as exc:
        raise type(exc)(plain(str(exc)), hint=plain(exc.hint)) from exc
    flag_errors(index, [place["file"] for client in _clients(data) for place in _places(client)])
    if form == "json":
        echo_json(data)
    elif form == "mermaid":
        click.echo(_mermaid(data))
    else:
        click.echo(plain(_markdown(data, every) if form == "md" else _text(data, every)))


def _argv(line: tuple[str, ...], pid: int | None, file: str | None) -> list[str]:
    from qtrace.explain.words import LARGEST, split_text
    from qtrace.proc import command_line

    if pid is not None:
        return command_line(pid)
    if file is not None:
        try:
            if file == "-":
                return split_text(sys.stdin.read(LARGEST + 1))
            with Path(file).open(errors="replace") as text:
                return split_text(text.read(LARGEST + 1))
        except OSError as exc:
            raise TargetError(f"cannot read {file}: {exc.strerror}") from exc
        except UnicodeDecodeError as exc:
            raise TargetError("this is no text") from exc
    return split_text(line[0]) if len(line) == 1 else list(line)


def _clients(data: dict[str, Any]) -> list[dict[str, Any]]:
    return [*data["nics"], *data["netdevs"]]


def _places(client: dict[str, Any]) -> list[dict[str, Any]]:
    return [*([client["created_by"]] if client["created_by"] else []), *client["carried_by"]]


def _title(data: dict[str, Any]) -> str:
    machine = f"the machine {data['machine'] or 'that is its default'} of {data['target']}"
    counts = [_count(data["nics"], "NIC"), _count(data["netdevs"], "back end"), _count(data["hubs"], "hub")]
    return f"QEMU {data['qemu']}, {machine}: {', '.join(counts)}"


def _count(items: list[Any], word: str) -> str:
    return f"{len(items) or 'no'} {word}{'s' * (len(items) != 1)}"


def _pairs(data: dict[str, Any]) -> list[str]:
    """The picture: one line a NIC, hub or back end that stands alone."""
    kinds = {client["name"]: client["type"] for client in _clients(data)}
    lines = []
    for nic in data["nics"]:
        start = f"guest --- {nic['name']} ({nic['type']})"
        if nic["hub"] is not None:
            start += f" === hub {nic['hub']}"
        elif nic["peer"]:
            start += f" === {nic['peer']} ({kinds.get(nic['peer'], '?')}) --- {_outside(data, nic['peer'])}"
        else:
            start += " === nothing"
        lines.append(start)
    for hub in data["hubs"]:
        members = [
            f"{port['name']}: {port['peer']} ({kinds.get(port['peer'], 'hubport')})"
            if port["peer"]
            else f"{port['name']}: nothing"
            for port in hub["ports"]
        ]
        lines.append(f"hub {hub['id']}: " + ", ".join(members))
    for netdev in data["netdevs"]:
        if netdev["hub"] is not None:
            outside = _outside(data, netdev["name"])
            lines.append(f"hub {netdev['hub']} === {netdev['name']} ({netdev['type']}) --- {outside}")
        elif not netdev["peer"]:
            lines.append(f"nothing === {netdev['name']} ({netdev['type']})")
    return lines


# What is at the far end of a back end, in a word.
_OUTSIDE = {
    "user": "the host's sockets",
    "tap": "a network interface of the host",
    "bridge": "a bridge of the host",
}


def _outside(data: dict[str, Any], name: str) -> str:
    netdev = next((item for item in data["netdevs"] if item["name"] == name), None)
    if netdev is None:
        return "the hub"
    values = {row["name"]: row["value"] for row in netdev["options"] if row["given"]}
    for key in (
        "ifname",
        "br",
        "connect",
        "listen",
        "mcast",
        "udp",
        "sock",
        "chardev",
        "addr",
        "remote",
        "dst",
    ):
        if key in values:
            return f"{key} {values[key]}"
    return _OUTSIDE.get(netdev["type"], "the host")


def _facts(client: dict[str, Any], kind: str) -> list[str]:
    lines = []
    if kind == "nic":
        lines.append(f"model {client['type']}, MAC address {client['mac']}")
    source = client["from"] or "QEMU's default: the line says nothing of the network"
    lines.append(f"from {source}")
    if client["queues"] > 1:
        lines.append(f"{client['queues']} queues")
    if client["hub"] is not None:
        lines.append(f"peer {client['peer']}, a port of hub {client['hub']}")
    else:
        lines.append(f"peer {client['peer'] or 'none'}")
    for word, places in (("made by", [client["created_by"]]), ("frames go to", client["carried_by"])):
        lines += [f"{word} {item['function']} ({item['file']}:{item['line']})" for item in places if item]
    lines += [f"go on with: {walk}" for walk in client["walk"]]
    return lines


def _rows(client: dict[str, Any], every: bool) -> list[dict[str, Any]]:
    return [
        row for row in client["options"] if row["given"] or every or row["name"] in ("script", "downscript")
    ]


def _text(data: dict[str, Any], every: bool) -> str:
    lines = [_title(data), ""]
    lines += [f"  {line}" for line in _pairs(data)]
    for kind, client in [("nic", item) for item in data["nics"]] + [
        ("netdev", item) for item in data["netdevs"]
    ]:
        word = "NIC" if kind == "nic" else client["type"]
        lines += ["", f"{word} {client['name']}", *(f"  {fact}" for fact in _facts(client, kind))]
        for row in _rows(client, every):
            value = row["value"] or "QEMU's choice"
            source = "" if row["given"] else "  (default)"
            lines.append(f"    {row['name']} = {value}{source}")
            if row["meaning"]:
                where = f"  [{row['file']}:{row['line']}]" if row["file"] else ""
                lines.append(f"        {row['meaning']}{where}")
        rest = len(client["options"]) - len(_rows(client, every))
        if rest:
            lines.append(f"    … and {rest} more at their defaults: --all")
    if data["warnings"]:
        lines += ["", "To know"]
    for item in data["warnings"]:
        about = f"{item['about']}: " if item["about"] else ""
        lines.append(f"  !! {about}{item['text']}")
    if data.get("rewrites"):
        lines += ["", "The same in other words"]
        for form in data["rewrites"]:
            mark = "exact" if form["exact"] else "differs"
            lines.append(f"  {form['form']} ({mark}): {shlex.join(form['argv'])}")
            lines += [f"      {text}" for text in form["differs"]]
    return "\n".join(lines)


def _markdown(data: dict[str, Any], every: bool) -> str:
    lines = [f"**{_cell(_title(data))}**", "", "```", *_pairs(data), "```"]
    for kind, client in [("nic", item) for item in data["nics"]] + [
        ("netdev", item) for item in data["netdevs"]
    ]:
        word = "NIC" if kind == "nic" else client["type"]
        lines += ["", f"### {word} `{_cell(client['name'])}`", ""]
        lines += [f"- {_cell(fact)}" for fact in _facts(client, kind)]
        if rows := _rows(client, every):
            lines += ["", "| option | value | default | meaning | where |", "| --- | --- | --- | --- | --- |"]
        for row in rows:
            where = f"{row['file']}:{row['line']}" if row["file"] else ""
            value = row["value"] if row["given"] else "default"
            cells = (f"`{row['name']}`", value, row["default"], row["meaning"], where)
            lines.append(f"| {' | '.join(map(_cell, cells))} |")
    if data["warnings"]:
        lines += ["", "### To know", ""]
    lines += [
        f"- {_cell(item['about'] and item['about'] + ': ')}{_cell(item['text'])}" for item in data["warnings"]
    ]
    if data.get("rewrites"):
        lines += ["", "### The same in other words", ""]
        for form in data["rewrites"]:
            mark = "exact" if form["exact"] else "differs: " + "; ".join(form["differs"])
            lines.append(f"- `{form['form']}` ({_cell(mark)}): `{shlex.join(form['argv'])}`")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _mermaid(data: dict[str, Any]) -> str:
    lines = ["flowchart LR", "    guest([guest])"]
    numbers = {client["name"]: f"c{n}" for n, client in enumerate(_clients(data))}
    nics = {nic["name"] for nic in data["nics"]}
    for client in _clients(data):
        lines.append(
            f'    {numbers[client["name"]]}["{_label(client["name"])}<br/>{_label(client["type"])}"]'
        )
    lines += [f'    h{hub["id"]}{{{{"hub {hub["id"]}"}}}}' for hub in data["hubs"]]
    for nic in data["nics"]:
        lines.append(f"    guest --- {numbers[nic['name']]}")
        if nic["hub"] is None and nic["peer"] in numbers:
            lines.append(f"    {numbers[nic['name']]} === {numbers[nic['peer']]}")
    for hub in data["hubs"]:
        for port in hub["ports"]:
            if port["peer"] in nics:
                lines.append(f"    {numbers[port['peer']]} === h{hub['id']}")
            elif port["peer"] in numbers:
                lines.append(f"    h{hub['id']} === {numbers[port['peer']]}")
    for netdev in data["netdevs"]:
        number = numbers[netdev["name"]]
        lines.append(f'    {number} --- o{number}(["{_label(_outside(data, netdev["name"]))}"])')
    return "\n".join(lines)


def _label(text: str) -> str:
    """Text inside a node: mermaid has entities for what would end it."""
    kept = plain(text).replace("\n", " ").replace("&", "#amp;").replace('"', "#quot;")
    return kept.replace("<", "#lt;").replace(">", "#gt;").replace("\t", " ")
