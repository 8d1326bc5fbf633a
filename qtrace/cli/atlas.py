"""`qtrace atlas`: everything that the indexes know of QEMU's networking, as pages to walk in."""

from __future__ import annotations

from pathlib import Path

import click

from qtrace.cli._console import ConsoleProgress
from qtrace.cli._help import Verb, completing
from qtrace.cli._options import named_index

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
    ),
)
@click.option(
    "-o",
    "--output",
    required=True,
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
    "--lang",
    "language",
    default="en",
    show_default=True,
    metavar="LANGUAGE",
    shell_complete=completing(_languages),
    help="zh or en.",
)
def command(output: Path, names: tuple[str, ...], runs: tuple[Path, ...], language: str) -> None:
    """Write an atlas of QEMU's networking: a page for every NIC on every back end, and for all that they use.

    The pages open from their files, fetch nothing, and need no server. Each has the same facts as the verbs
    'map', 'walk' and 'show', with links to the public repository at the release's tag.
    """
    from qtrace.atlas.builder import build_atlas, require_ours
    from qtrace.atlas.wording import load_wording
    from qtrace.store.run import RunReader

    load_wording(language)
    require_ours(output)
    indexes = list(dict.fromkeys(named_index(name).path for name in names or ("",)))
    readers = [RunReader.open(run) for run in runs]
    progress = ConsoleProgress()
    try:
        built = build_atlas(indexes, output, language, readers, progress=progress)
        progress.done(
            f"atlas of QEMU {', '.join(built.releases)}: {built.pages} pages, {built.size / 1e6:.1f} MB, "
            f"the largest {built.largest} with {built.largest_size / 1e3:.0f} kB, in {built.seconds:.1f} s"
        )
    finally:
        progress.close()
    click.echo(str(output / "index.html"))
