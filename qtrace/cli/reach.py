"""`qtrace reach`: which machines reach each other in each connection mode, by experiment."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qtrace.cli._console import ConsoleProgress, echo_json, pass_on, plain
from qtrace.cli._help import Verb, completing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtrace.lab.reachability.table import Row

__all__ = ["command"]

_TITLES = {
    "vm_to_host": "VM → host",
    "host_to_vm": "host → VM",
    "vm_to_vm": "VM → VM",
    "vm_to_net": "VM → LAN",
    "net_to_vm": "LAN → VM",
}


def _modes() -> list[str]:
    from qtrace.lab.mode.mode import load_modes

    return [mode.name for mode in load_modes()]


@click.command(
    "reach",
    cls=Verb,
    examples=(
        ("qtrace reach", "every connection mode, tried, beside the manual's claims"),
        ("qtrace reach tap-nat --format md", "one mode, as Markdown"),
    ),
)
@click.argument("modes", nargs=-1, shell_complete=completing(_modes))
@click.option("--nic", default="", help="The guests' NIC model [default: each mode's own].")
@click.option(
    "--venue",
    type=click.Choice(["auto", "host", "vm"]),
    default="auto",
    show_default=True,
    help="host: on this machine; vm: in the lab machine; auto: on this machine if it can.",
)
@click.option(
    "--format", "form", type=click.Choice(["table", "json", "md"]), default="table", show_default=True
)
def command(modes: tuple[str, ...], nic: str, venue: str, form: str) -> None:
    """Try which machines reach each other in each connection mode, by ARP, ICMP, TCP and UDP.

    Each of MODES (all modes, if none is named) is started with two guests. Each result stands beside the
    claim of QEMU's documentation and the rights that the mode needed.
    """
    from qtrace.binary.file.version import qemu_version
    from qtrace.lab.guest.guest import find_qemu
    from qtrace.lab.host.owned import remove_leftovers
    from qtrace.lab.machine.venue import inside_machine
    from qtrace.lab.mode.mode import load_mode, load_modes
    from qtrace.lab.reachability.table import measure_reach

    chosen = [load_mode(name) for name in dict.fromkeys(modes)] or load_modes()
    progress = ConsoleProgress()
    try:
        if venue == "auto" and not inside_machine():
            missing = {"not root": os.geteuid() != 0, "no /dev/net/tun": not Path("/dev/net/tun").exists()}
            lacks = ", ".join(name for name, true in missing.items() if true)
            venue, why = (
                ("vm", f"the host has {lacks}") if lacks else ("host", "root and /dev/net/tun are here")
            )
            progress.done(f"venue: {venue} ({why})")
        if venue == "vm" and not inside_machine():
            from qtrace.lab.machine.machine_run import run_in_machine

            argv = ["reach", *modes, "--format", form]
            argv += ["--nic", nic] if nic else []
            sys.exit(run_in_machine(argv, [nic or mode.nic for mode in chosen], progress, pass_on))
        for item in remove_leftovers():
            progress.warn(f"removed the remains of a dead lab or run: {item}")
        rows = measure_reach(chosen, nic, progress)
    finally:
        progress.close()
    where = "vm" if inside_machine() else "host"
    version = qemu_version(find_qemu())
    if form == "json":
        echo_json({"venue": where, "qemu": version, "rows": [_json(row) for row in rows]})
    elif form == "md":
        click.echo(_markdown(rows, where, version))
    else:
        click.echo(_table(rows))
    # A mode with a missing prerequisite is no failure, unless no mode could be tried.
    wrong = [row for row in rows if row.failed and not (row.missing and not modes)]
    sys.exit(int(bool(wrong) or all(row.failed for row in rows)))


def _json(row: Row) -> dict[str, Any]:
    cells = {name: asdict(cell) for name, cell in row.cells.items()}
    privilege = row.privilege.to_json() if row.privilege else {"start": None, "setup": None}
    return {"mode": row.mode, "privilege": privilege, "cells": cells, "failed": row.failed or None}


def _words(row: Row) -> list[str]:
    """The columns of a row: mode, rights to start, rights to set up, the five cells."""
    if not row.privilege:
        return [row.mode, *["-"] * 7]
    rights = [row.privilege.start.partition(",")[0], row.privilege.setup.partition(":")[0]]
    cells = []
    for cell in row.cells.values():
        differs = "" if cell.observed == cell.expected else f" (documented: {cell.expected or 'nothing'})"
        cells.append(cell.observed + differs)
    return [row.mode, *rights, *cells]


def _table(rows: Sequence[Row]) -> str:
    heads = ["mode", "start", "set-up", *_TITLES.values()]
    body = [_words(row) for row in rows]
    widths = [max(len(line[at]) for line in (heads, *body)) for at in range(len(heads))]
    out = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
           for line in (heads, *body)]  # fmt: skip
    out += ["", "Notes:"]
    for row in rows:
        for text in _notes(row):
            out.append(f"{row.mode}: {text}")
    return plain("\n".join(out))


def _notes(row: Row) -> list[str]:
    if row.failed:
        return [f"not tried: {row.failed}"]
    assert row.privilege
    notes = []
    for name, cell in row.cells.items():
        tried = ", ".join(f"{kind.upper()} {'yes' if getattr(cell, kind) else 'no'}" for kind in _KINDS)
        text = f"{_TITLES[name]}: {tried}"
        if cell.forward:
            through = "/".join(kind.upper() for kind in ("tcp", "udp") if cell.forward[kind]) or "nothing"
            text += f"; with {cell.forward['how']}: {through} by {cell.forward['to']}"
        notes.append(text + (f"; {cell.note}" if cell.note else ""))
    if row.privilege.setup not in ("none", "user"):
        notes.append(f"set-up: {row.privilege.setup}")
    notes.append(f"without set-up: {row.privilege.alone or 'QEMU starts'}")
    if row.privilege.userns != "-":
        notes.append(f"set-up in a user namespace: {row.privilege.userns or 'works'}")
    for who, said in row.privilege.group.items():
        notes.append(f"/dev/vhost-net of root and a group, user {who} that group: {said or 'QEMU starts'}")
    for device, said in row.privilege.devices.items():
        notes.append(f"{device} here: {said}")
    return notes


_KINDS = ("arp", "icmp", "tcp", "udp")


def _markdown(rows: Sequence[Row], venue: str, version: str) -> str:
    heads = ["mode", "start", "set-up", *_TITLES.values()]
    out = [f"QEMU {version}, venue: {venue}.", ""]
    out += ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    out += ["| " + " | ".join(_words(row)) + " |" for row in rows]
    for row in rows:
        out += ["", f"### {row.mode}", "", *(f"- {text.replace('|', chr(92) + '|')}" for text in _notes(row))]
    return plain("\n".join(out))
