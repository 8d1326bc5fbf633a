"""`qtrace explain`: the network of a QEMU command line."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qtrace.cli._console import echo_json, plain
from qtrace.cli._explanation import as_markdown, as_mermaid, as_text, clients, places, rules_as_text
from qtrace.cli._help import Verb
from qtrace.cli._options import flag_errors, index_option, named_index
from qtrace.errors import QtraceError, StoreError, TargetError

if TYPE_CHECKING:
    from qtrace.explain.pasted import Pasted
    from qtrace.store.index import Index

__all__ = ["command"]


@click.command(
    "explain",
    cls=Verb,
    context_settings={"ignore_unknown_options": False},
    examples=(
        (
            "qtrace explain -- qemu-system-x86_64 -nic tap",
            "NICs, back ends, every option, rights, other notations",
        ),
        ("qtrace explain --pid PID", "the command line of a QEMU that runs"),
        ("qtrace explain --format mermaid --file LINE.txt", "the network as a diagram"),
        (
            "qtrace explain --program /usr/bin/qemu-system-x86_64 -- -nic af-xdp,ifname=eth0",
            "whether this program was built with the back end",
        ),
        ("qtrace explain --releases -- qemu-system-x86_64 -nic passt", "which indexed releases take it"),
    ),
)
@click.argument("line", nargs=-1, type=click.UNPROCESSED)
@click.option("--pid", type=int, help="Explain the command line of this process.")
@click.option("--file", "file", metavar="FILE", help="Read the line from a file, '-' for standard input.")
@click.option(
    "--config", multiple=True, metavar="FILE", help="Read this file where the line names it with -readconfig."
)
@click.option(
    "--program",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Read from this QEMU program, which is not run, which back ends it was built without.",
)
@click.option(
    "--lenient",
    is_flag=True,
    help="Go on where an option, a machine or a device is unknown, and list it: another release may have it.",
)
@click.option(
    "--strict", is_flag=True, help="Refuse options that only a vendor's QEMU has, as QEMU itself does."
)
@click.option(
    "--with", "other", metavar="LINE", help="Read another line with it, of a guest on the same host."
)
@click.option("--rules", "list_rules", is_flag=True, help="List the rules of explain, each with its source.")
@click.option("--releases", is_flag=True, help="Say which of the indexed releases take the whole line.")
@click.option("--all", "every", is_flag=True, help="Show the options that the line does not set as well.")
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
    program: Path | None,
    lenient: bool,
    strict: bool,
    other: str | None,
    list_rules: bool,
    releases: bool,
    every: bool,
    form: str,
    index_name: str,
) -> None:
    """Explain a QEMU command line: its NICs, its back ends, and every option of its network.

    The line follows '--', as words or as one quoted text, or comes from --file or --pid; a text may be a
    script, or the log of a program that starts QEMU. Nothing of the line is run, and no file that the line
    names is opened. A line that QEMU would refuse is refused (exit status 1). An option that only a vendor's
    QEMU has, such as Proxmox's -id, is named and ignored.
    """
    from qtrace.explain.explanation import Reader
    from qtrace.explain.pasted import Pasted, read_text

    if list_rules:
        _list_rules(named_index(index_name), form)
        return
    if sum((bool(line), pid is not None, file is not None)) != 1:
        raise click.UsageError("give one of: a line after '--', --file, --pid")
    if pid is not None:
        argv, release, opened = _of_process(pid)
        pasted = Pasted(argv, opened)
    else:
        pasted, release = _pasted(line, file), ""
    argv = pasted.words
    if releases:
        _say_releases(argv, config, strict, form)
        return
    index = _index_for(index_name, release)
    try:
        left_out = _left_out(program, index)
        reader = Reader(index, left_out=left_out or ())
        data = reader.explain(
            argv,
            config,
            lenient=lenient or pid is not None,
            strict=strict,
            opened=pasted.opened,
            writer=pasted.writer,
        )
        if other is not None:
            data["together"] = reader.together(
                pasted, read_text(other), config, lenient=lenient or pid is not None, strict=strict
            )
    except QtraceError as exc:
        raise type(exc)(plain(str(exc)), hint=plain(exc.hint)) from exc
    if left_out is None:
        data["warnings"] = [
            _item("built", f"which back ends {program} has cannot be read from it"),
            *data["warnings"],
        ]
    if pid is not None:
        data["process"] = {"pid": pid, "qemu": release}
        data["warnings"] = [*_other_release(pid, release, data["qemu"]), *data["warnings"]]
    flag_errors(index, [place["file"] for client in clients(data) for place in places(client)])
    if form == "json":
        echo_json(data)
    elif form == "mermaid":
        click.echo(as_mermaid(data))
    else:
        click.echo(plain(as_markdown(data, every) if form == "md" else as_text(data, every)))


def _of_process(pid: int) -> tuple[list[str], str, dict[int, str]]:
    """The command line of a process; its program's release, empty if it cannot be read or is not QEMU; and
    the paths on which its descriptors were opened.
    """
    from qtrace.explain.opened import opened_by
    from qtrace.measure.qemu_process import QemuProcess

    process = QemuProcess(pid)
    try:
        release, _ = process.version
    except TargetError:
        release = ""
    return process.command_line, release, opened_by(pid)


def _index_for(name: str, release: str) -> Index:
    """The index asked for; else the one used last, or that of a process's own `release` if it is indexed."""
    index = named_index(name)
    if not name and release not in ("", index.meta["qemu"]):
        with contextlib.suppress(StoreError):
            return named_index(release)
    return index


def _other_release(pid: int, release: str, indexed: str) -> list[dict[str, str | None]]:
    """The warning for a process of another release than the index, as an item of `warnings`."""
    if release in ("", indexed):
        return []
    text = (
        f"process {pid} is QEMU {release}, the index that explains it is of {indexed}: what {release} has "
        f"and {indexed} has not is unknown here, and defaults, functions and lines are those of {indexed} "
        f"(qtrace index --source TREE, of {release}, makes the right one)"
    )
    return [_item("release", text)]


def _left_out(program: Path | None, index: Index) -> frozenset[str] | None:
    """The back ends that a program was built without: none where no program is given, None where it does not
    tell. Raises BinaryError."""
    from qtrace.binary.symbols.built_backends import backends_left_out
    from qtrace.explain.explanation import init_functions

    return backends_left_out(program, init_functions(index)) if program else frozenset()


def _item(kind: str, text: str) -> dict[str, str | None]:
    """A note as an item of `warnings`."""
    return {"kind": kind, "severity": "note", "about": "", "text": text, "source": "", "mended": None}


def _say_releases(argv: list[str], config: tuple[str, ...], strict: bool, form: str) -> None:
    from dataclasses import asdict

    from qtrace.explain.taken_by import releases_that_take
    from qtrace.store.indexed_releases import all_indexes

    found = releases_that_take(all_indexes(), argv, config, strict=strict)
    if not found:
        raise StoreError("no release is indexed", hint="run: qtrace index")
    if form == "json":
        echo_json([asdict(taken) for taken in found])
        return
    for taken in found:
        said = f"refuses it: {taken.refusal}" if taken.refusal else "takes it"
        click.echo(plain(f"{taken.release:<10} {said}" + (f" ({taken.hint})" if taken.hint else "")))


def _list_rules(index: Index, form: str) -> None:
    from qtrace.explain.rule import rules

    root = Path(index.meta["root"])
    rows = [
        {
            "name": rule.name,
            "severity": rule.severity,
            "looks_for": rule.looks_for,
            "source": rule.word.place(root),
        }
        for rule in rules()
    ]
    if form == "json":
        echo_json(rows)
    else:
        click.echo(plain(rules_as_text(rows)))


def _pasted(line: tuple[str, ...], file: str | None) -> Pasted:
    """The line's words, and what else is known of them."""
    from qtrace.explain.pasted import Pasted, read_text

    if file is None and len(line) > 1:
        return Pasted(list(line))
    return read_text(line[0] if file is None else _text(file))


def _text(file: str) -> str:
    from qtrace.explain.words import LARGEST

    try:
        if file == "-":
            return sys.stdin.read(LARGEST + 1)
        with Path(file).open(errors="replace") as text:
            return text.read(LARGEST + 1)
    except OSError as exc:
        raise TargetError(f"cannot read {file}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise TargetError("this is no text") from exc
