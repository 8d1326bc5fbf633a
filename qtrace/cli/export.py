"""`qtrace export RUN --to FORMAT`: a run's sampled frames for other programs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import click

from qtrace.cli._console import plain
from qtrace.errors import StoreError
from qtrace.report.formats.frame_times import sampled_frames
from qtrace.store.run import RunReader

__all__ = ["command"]


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "form",
    type=click.Choice(["perfetto", "pcapng"]),
    required=True,
    help="perfetto: a timeline for ui.perfetto.dev; pcapng: packets for Wireshark.",
)
@click.option(
    "-o",
    "--output",
    "output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="The file to write; it must not be there yet.",
)
def command(run: Path, form: str, output: Path) -> None:
    """Write the sampled frames of RUN (recorded with 'qtrace record PID --sample N') to FILE.

    perfetto: threads as tracks, a frame's stages as slices, arrows where it goes on elsewhere. pcapng: each
    frame with its first 256 bytes, nanoseconds, and the time at each stage as its comment.
    """
    if output.exists():
        raise StoreError(f"{output} is there already", hint="choose another name, or remove it")
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
            hint="no stage that has the frame in its hand was measured: see 'qtrace probes --pid PID'",
        )
    _write(output, content.getvalue())
    left = len(frames) - written
    click.echo(
        plain(f"{output}: {written:,} frames" + (f"; {left:,} without bytes left out" if left else ""))
    )


def _write(output: Path, content: bytes) -> None:
    """Write beside and link into place, so that the file is never half there and nothing is overwritten."""
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
        raise StoreError(f"{output} is there already", hint="choose another name, or remove it") from exc
    except OSError as exc:
        raise StoreError(f"cannot write {output}: {exc.strerror}") from exc
