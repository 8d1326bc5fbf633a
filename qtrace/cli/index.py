"""`qtrace index`: QEMU's source -> the index."""

from __future__ import annotations

from pathlib import Path

import click

from qtrace.cli._console import ConsoleProgress, echo_json

__all__ = ["command"]


@click.command("index")
@click.option(
    "--source", type=click.Path(path_type=Path, file_okay=False), help="An unpacked QEMU tree, nothing built."
)
@click.option(
    "--binary",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Fetch and index the source of this installed QEMU [default: qemu-system-x86_64].",
)
@click.option(
    "--build",
    type=click.Path(path_type=Path, file_okay=False),
    help="With --source: a folder in which that tree was configured; its compile_commands.json is used.",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(source: Path | None, binary: Path | None, build: Path | None, form: str) -> None:
    """Index QEMU's source: functions, calls, tables, back ends, NICs.

    Without options, the source that the installed qemu-system-x86_64 was built from is fetched into
    the cache. Nothing is configured or compiled.
    """
    from qtrace.source.build import ensure_index
    from qtrace.source.catalogue import nic_files

    if source and binary:
        raise click.UsageError("--source and --binary both name a tree: leave one out")
    if build and not source:
        raise click.UsageError("--build goes with --source")
    progress = ConsoleProgress()
    try:
        index, made = ensure_index(progress, source, binary, build)
        counts = index.counts()
        backends, nics = len(index.backends()) - 1, len(nic_files(index))
        took = f", made in {index.meta['seconds']} s" if made else ", in place"
        if made and int(index.meta["parsed"]) < counts["files"]:
            took += f", {index.meta['parsed']} files parsed"
        progress.done(
            f"index of QEMU {index.meta['qemu']}: {counts['files']} files, {counts['functions']} functions, "
            f"{counts['indirect_sites']} indirect call sites resolved and {counts['unresolved']} not, "
            f"{backends} back ends, {nics} NICs{took}"
        )
        if index.meta["missing"]:
            progress.warn(f"less certain for want of: {index.meta['missing']}")
    finally:
        progress.close()
    if form == "json":
        echo_json({"path": str(index.path), "made": made, **index.meta, **counts})
