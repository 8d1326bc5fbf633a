"""`qtrace export RUN --to FORMAT`: a run's sampled frames, or all of its answers, for other programs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import click

from qtrace.cli._console import plain
from qtrace.cli._help import Verb
from qtrace.errors import StoreError

__all__ = ["command"]


@click.command(
    "export",
    cls=Verb,
    examples=(
        ("qtrace export RUN --to perfetto -o FILE", "the sampled frames as a timeline for ui.perfetto.dev"),
        ("qtrace export RUN --to pcapng -o FILE", "the sampled frames as packets for Wireshark"),
        ("qtrace export RUN --to csv -o FOLDER", "the answers of all analyses, a file each"),
    ),
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "form",
    type=click.Choice(["perfetto", "pcapng", "csv"]),
    required=True,
    help="perfetto is a timeline for ui.perfetto.dev, pcapng is packets for Wireshark, csv is tables.",
)
@click.option("--only", metavar="NAME", help="With csv: the answer of this analysis alone.")
@click.option(
    "-o",
    "--output",
    "output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Write this file, with csv this folder, which must not exist yet.",
)
def command(run: Path, form: str, only: str | None, output: Path) -> None:
    """Write the sampled frames of RUN to FILE, for Perfetto or Wireshark, or all answers as tables.

    'qtrace record PID --sample N' samples frames. perfetto shows threads as tracks and a frame's stages as
    slices, with an arrow to the thread where the frame goes on. pcapng has each frame with its first 256
    bytes, its time in nanoseconds, and its time at each stage as a comment.

    csv has a file for each analysis ('qtrace analyses' lists them) with its rows of all cells, also of a run
    that is too large for a page. A missing value is an empty field.
    """
    if only is not None and form != "csv":
        raise click.UsageError("--only needs --to csv")
    if form == "csv":
        _write_answers(run, only, output)
        return
    from qtrace.report.formats.frame_times import sampled_frames
    from qtrace.store.run import RunReader

    if output.exists():
        raise StoreError(f"{output} exists already", hint="choose another name, or remove it")
    reader = RunReader.open(run)
    frames = sampled_frames(reader)
    for damaged in reader.damaged:
        click.echo(plain(f"!!  damaged and left out: {damaged}"), err=True)
    if form == "perfetto":
        from qtrace.report.formats.perfetto import to_perfetto

        _write(output, to_perfetto(reader, frames).encode())
        click.echo(plain(f"{output}: {len(frames):,} frames; open it at https://ui.perfetto.dev"))
        return
    import io

    from qtrace.report.formats.pcapng import write_pcapng

    content = io.BytesIO()
    written = write_pcapng(reader, frames, content)
    if not written:
        raise StoreError(
            f"of the {len(frames):,} sampled frames of {run} no bytes were kept",
            hint="no stage with access to the frame's bytes was measured: see 'qtrace probes --pid PID'",
        )
    _write(output, content.getvalue())
    left = len(frames) - written
    click.echo(
        plain(f"{output}: {written:,} frames" + (f"; {left:,} without bytes left out" if left else ""))
    )


def _write_answers(run: Path, only: str | None, output: Path) -> None:
    from qtrace.analyses.methods.registry import analyses
    from qtrace.report.formats.csv_tables import write_csv
    from qtrace.store.run import RunReader

    known = list(analyses())
    if only is not None and only not in known:
        raise click.BadParameter(
            f"there is no analysis {only!r}; there are {', '.join(known)}", param_hint="'--only'"
        )
    reader = RunReader.open(run)
    for file, rows in write_csv(reader, [only] if only else known, output):
        click.echo(plain(f"{file}: {rows:,} rows"))
    for damaged in reader.damaged:
        click.echo(plain(f"!!  damaged and left out: {damaged}"), err=True)


def _write(output: Path, content: bytes) -> None:
    """Write to a temporary file and link it, so that the file is never incomplete and none is overwritten."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{output.name[:60]}.", dir=output.parent)
        beside = Path(name)
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(content)
            beside.chmod(0o644)
            os.link(beside, output)
        finally:
            beside.unlink()
    except FileExistsError as exc:
        raise StoreError(f"{output} exists already", hint="choose another name, or remove it") from exc
    except OSError as exc:
        raise StoreError(f"cannot write {output}: {exc.strerror}") from exc
