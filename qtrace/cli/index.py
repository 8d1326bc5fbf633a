"""`qtrace index`: builds the index from QEMU's source."""

from __future__ import annotations

from pathlib import Path

import click

from qtrace.cli._console import ConsoleProgress, echo_json
from qtrace.cli._help import Verb

__all__ = ["command"]


@click.command(
    "index",
    cls=Verb,
    examples=(
        ("qtrace index", "index the installed QEMU's source (15 s)"),
        ("qtrace index --debian trixie", "the QEMU of another Debian release"),
        ("qtrace index --source TREE", "an unpacked tree; nothing is built"),
        ("qtrace index --libraries", "libslirp's and libvdeplug's source too"),
    ),
)
@click.option(
    "--source",
    type=click.Path(path_type=Path, file_okay=False),
    help="Index this unpacked QEMU tree; nothing in it has to be built.",
)
@click.option(
    "--binary",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Fetch and index the source of this installed QEMU [default: qemu-system-x86_64].",
)
@click.option(
    "--debian",
    "suite",
    default="",
    metavar="SUITE",
    help="Fetch and index the QEMU of another Debian release (trixie), without installing it; ask it by its "
    "version (--index).",
)
@click.option(
    "--library",
    "trees",
    multiple=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Index this unpacked libslirp or libvdeplug too: walks go on into the library. May be given twice.",
)
@click.option(
    "--libraries",
    "fetch",
    is_flag=True,
    help="Fetch and index the sources of the installed libslirp and libvdeplug too.",
)
@click.option(
    "--build",
    type=click.Path(path_type=Path, file_okay=False),
    help="With --source: a folder in which that tree was configured; its compile_commands.json is used.",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    source: Path | None,
    binary: Path | None,
    suite: str,
    trees: tuple[Path, ...],
    fetch: bool,
    build: Path | None,
    form: str,
) -> None:
    """Index QEMU's source: functions, calls, tables, back ends, NICs.

    Without options, the source from which the installed qemu-system-x86_64 was built is downloaded into the
    cache. Nothing is configured or compiled.
    """
    from qtrace.index.build import ensure_index, release_tree
    from qtrace.index.libraries import fetch_libraries, open_library
    from qtrace.path.catalogue import nic_files

    if sum(map(bool, (source, binary, suite))) > 1:
        raise click.UsageError("--source, --binary and --debian each name a tree: give one")
    if build and not source:
        raise click.UsageError("--build goes with --source")
    progress = ConsoleProgress()
    try:
        if suite:
            source = release_tree(suite, progress)
        given = {library.name: library for library in map(open_library, trees)}
        if len(given) < len(trees):
            raise click.UsageError("two of the --library trees are of the same library")
        missing: list[str] = []
        if fetch:
            fetched, missing = fetch_libraries(progress, but=given)
            given |= {library.name: library for library in fetched}
        libraries = [given[name] for name in sorted(given)]
        index, made = ensure_index(progress, source, binary, build, libraries, current=not suite)
        counts = index.counts()
        backends, nics = len(index.backends()) - 1, len(nic_files(index))
        took = f", made in {index.meta['seconds']} s" if made else ", in place"
        if made and int(index.meta["parsed"]) < counts["files"]:
            took += f", {index.meta['parsed']} files parsed"
        names = f" with {' and '.join(index.libraries)}" if index.libraries else ""
        progress.done(
            f"index of QEMU {index.meta['qemu']}{names}: {counts['files']} files, "
            f"{counts['functions']} functions, {counts['indirect_sites']} indirect call sites resolved "
            f"and {counts['unresolved']} not, {backends} back ends, {nics} NICs{took}"
        )
        for reason in missing:
            progress.warn(f"walks end at its boundary: {reason}")
        if index.meta["missing"]:
            progress.warn(f"less certain: {index.meta['missing']}")
    finally:
        progress.close()
    if form == "json":
        roots = {name: str(root) for name, root in index.libraries.items()}
        echo_json({"path": str(index.path), "made": made, **index.meta, "libraries": roots, **counts})
