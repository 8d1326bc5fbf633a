"""`qtrace symbols BINARY|PID`: the addresses of QEMU's networking functions, each with its evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from qtrace.cli._console import ConsoleProgress, echo_json, plain
from qtrace.cli._help import Verb
from qtrace.cli._options import index_option
from qtrace.model import Symbol

__all__ = ["command", "list_symbols"]

_PATHS = ("net/", "hw/net/", "hw/virtio/")


@click.command(
    "symbols",
    cls=Verb,
    examples=(
        ("qtrace symbols PID", "the functions of a running QEMU's program, stripped or not"),
        ("qtrace symbols /usr/bin/qemu-system-x86_64", "the same for a file"),
    ),
)
@click.argument("target", metavar="BINARY|PID")
@click.option(
    "--symbols",
    "symbols",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read the symbols from this file, which must be of this very binary.",
)
@click.option("--all", "everything", is_flag=True, help="List every function of every indexed file.")
@click.option("--force", is_flag=True, help="Use an index of another version, or symbols of another binary.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@index_option
def command(
    target: str, symbols: Path | None, everything: bool, force: bool, form: str, index_name: str
) -> None:
    """Find the functions of QEMU's networking code in BINARY, or in the program of process PID.

    In a stripped binary they are found by comparison with the source index: static tables, addresses that
    functions pass to each other, calls. Functions that cannot be distinguished are listed as ambiguous.

    The functions that were found come first, then for each file the number not found; --all lists these too.
    """
    from qtrace.binary.file.debuginfod import servers
    from qtrace.binary.symbols.symbol_cache import KnownSymbols
    from qtrace.index.renew import index_named
    from qtrace.measure.matching import index_for
    from qtrace.measure.qemu_process import QemuProcess

    progress = ConsoleProgress()
    try:
        process = None
        if target.isdigit() and not Path(target).exists():
            process = QemuProcess(int(target), "", progress)
            _ = process.version  # refuses a program that is not QEMU before an index is built
        binary = process.program if process else Path(target)
        known = KnownSymbols(binary, None)  # refuses a file that is not ELF
        if index_name or force:
            index = index_named(index_name, progress)
        else:
            index = process.index if process else index_for(binary, "", progress)
        known = KnownSymbols(binary, index, symbols, force)
        progress.step(f"looking for the functions of QEMU {index.meta['qemu']} in {binary}")
        found = known.everything()
        known.save()
    finally:
        progress.close()
    if servers() and not any(item.how == "debug-file" for item in found):
        click.echo("!!  no server of DEBUGINFOD_URLS gave the symbols of this binary", err=True)
    if not everything:
        found = [item for item in found if item.file.startswith(_PATHS)]
    if form == "json":
        functions = [
            {
                "name": item.name,
                "file": item.file,
                "address": item.address or None,
                "offset": item.offset if item.address else None,
                "how": item.how,
                "confidence": item.confidence,
                "evidence": item.evidence,
            }
            for item in found
        ]
        echo_json(
            {
                "binary": str(binary),
                "build_id": known.build_id,
                "qemu": index.meta["qemu"],
                "functions": functions,
            }
        )
        return
    list_symbols(found, everything)


def list_symbols(found: Sequence[Symbol], everything: bool) -> None:
    """Print functions with an address, then those without: one count for each file, or each with
    `everything`."""
    missing: dict[str, Counter[str]] = {}
    for item in found:
        if item.address:
            click.echo(_line(f"{item.address:#12x}", item))
        else:
            missing.setdefault(item.file, Counter())[item.how] += 1
    if everything:
        for item in found:
            if not item.address:
                click.echo(_line(f"{'-':>12}", item))
    else:
        for file, reasons in missing.items():
            said = ", ".join(f"{number} {how}" for how, number in reasons.most_common())
            click.echo(plain(f"{'-':>12}  {reasons.total()} of {file}: {said}"))
    counts = Counter(item.how for item in found)
    click.echo(", ".join(f"{number} {how}" for how, number in counts.most_common()), err=True)
    if missing and not everything:
        click.echo("--all lists each function, of every indexed file", err=True)


def _line(place: str, item: Symbol) -> str:
    return plain(f"{place}  {item.how:<11} {item.name:<44} {item.file}  {item.evidence}")
