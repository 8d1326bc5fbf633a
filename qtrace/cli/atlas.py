"""`qtrace atlas`: everything that the indexes know of QEMU's networking, as pages to walk in."""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qtrace.cli._console import ConsoleProgress
from qtrace.cli._help import Verb, completing
from qtrace.cli._options import named_index
from qtrace.errors import LabError, MissingPrerequisite

if TYPE_CHECKING:
    from qtrace.lab.guest.program_parts import ProgramParts

__all__ = ["command"]


def _languages() -> list[str]:
    from qtrace.atlas.wording import wording_names

    return wording_names()


@click.command(
    "atlas",
    cls=Verb,
    examples=(
        ("qtrace atlas -o ATLAS", "every NIC on every back end as pages; open ATLAS/index.html"),
        ("qtrace atlas -o ATLAS --index 7.2.22 --index 10.0.13", "two releases side by side"),
        ("qtrace atlas -o ATLAS --run RUN", "with the counts and times of a run"),
        ("qtrace atlas --serve --source", "on loopback, each place with its lines from your own tree"),
    ),
)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="The atlas's folder: new, empty, or an atlas, which is replaced.",
)
@click.option(
    "--index",
    "names",
    multiple=True,
    metavar="VERSION|FILE",
    help="A source index: a QEMU version that was indexed, or an index file; may be given several times "
    "[default: the one used last].",
)
@click.option(
    "--run",
    "runs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Show the counts and times of this run on the pages of its pairs; may be given several times.",
)
@click.option(
    "--posts",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Take in the posts of this folder [default: reports/posts, in a checkout].",
)
@click.option(
    "--lang",
    "language",
    default="en",
    show_default=True,
    metavar="LANGUAGE",
    shell_complete=completing(_languages),
    help="zh or en.",
)
@click.option(
    "--source",
    "with_source",
    is_flag=True,
    help="Let each place open its lines, from your own tree: for your own reading, not to be published.",
)
@click.option(
    "--serve",
    is_flag=True,
    help="Serve the atlas on this machine's loopback until Ctrl-C, and make it anew when an index changes.",
)
@click.option("--port", default=8021, show_default=True, help="With --serve: the port; 0 for any.")
def command(
    output: Path | None,
    names: tuple[str, ...],
    runs: tuple[Path, ...],
    posts: Path | None,
    language: str,
    with_source: bool,
    serve: bool,
    port: int,
) -> None:
    """Write an atlas of QEMU's networking: a page for every NIC on every back end, and for all that they use.

    The pages open from their files, fetch nothing, and need no server. Each has the same facts as the verbs
    'map', 'walk' and 'show', with links to the public repository at the release's tag. The installed QEMU is
    run once without a machine, so that the grid of its release can be filtered by what it has.
    """
    from qtrace.atlas.builder import require_ours
    from qtrace.atlas.wording import load_wording

    if output is None and not serve:
        raise click.UsageError("give a folder (-o), or --serve")
    load_wording(language)
    with contextlib.ExitStack() as stack:
        folder = output or Path(stack.enter_context(tempfile.TemporaryDirectory())) / "atlas"
        require_ours(folder)
        job = _Job(folder, names, runs, language, with_source, posts)
        job.build()
        if serve:
            job.serve(port)
        else:
            click.echo(str(folder / "index.html"))


def _installed_program(progress: ConsoleProgress) -> ProgramParts | None:
    """The installed QEMU with what it has; an atlas needs none."""
    from qtrace.lab.guest.guest import find_qemu
    from qtrace.lab.guest.program_parts import ask_program

    try:
        return ask_program(find_qemu())
    except MissingPrerequisite:
        return None
    except LabError as exc:
        progress.warn(f"the grid has no filter by build: {exc}")
        return None


class _Job:
    """One atlas, to be made once or again and again."""

    def __init__(
        self,
        folder: Path,
        names: tuple[str, ...],
        runs: tuple[Path, ...],
        language: str,
        with_source: bool,
        posts: Path | None,
    ) -> None:
        self._folder, self._names, self._runs = folder, names, runs
        self._language, self._with_source = language, with_source
        self._posts = posts

    def build(self) -> None:
        """Write it, and say what was written."""
        from qtrace.atlas.builder import build_atlas
        from qtrace.store.run import RunReader

        readers = [RunReader.open(run) for run in self._runs]
        progress = ConsoleProgress()
        try:
            built = build_atlas(
                self._indexes(),
                self._folder,
                self._language,
                readers,
                with_source=self._with_source,
                program=_installed_program(progress),
                posts=self._posts,
                progress=progress,
            )
            size = f"{built.size / 1e6:.1f} MB, the largest {built.largest_size / 1e3:.0f} kB"
            releases = ", ".join(built.releases)
            progress.done(f"atlas of QEMU {releases}: {built.pages} pages, {size}, in {built.seconds:.1f} s")
        finally:
            progress.close()

    def serve(self, port: int) -> None:
        """Serve it until Ctrl-C; a new index becomes a new atlas."""
        from qtrace.atlas.builder import stamp_of
        from qtrace.atlas.loopback import HOST, serving

        while True:
            made = stamp_of(self._indexes())
            # No thread may run while a build forks.
            with serving(self._folder, port) as port:
                click.echo(f"http://{HOST}:{port}/index.html")
                while stamp_of(self._indexes()) == made:
                    time.sleep(1)
            self.build()

    def _indexes(self) -> list[Path]:
        return list(dict.fromkeys(named_index(name).path for name in self._names or ("",)))
