"""`qtrace post`: a post of the series, written from a lab that runs, an index and a run."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qtrace.cli._console import ConsoleProgress
from qtrace.cli._help import Verb, completing
from qtrace.cli._options import index_option, named_index
from qtrace.errors import StoreError

if TYPE_CHECKING:
    from qtrace.post.compose import PostKind
    from qtrace.post.material import Material
    from qtrace.store.index import Index

__all__ = ["command"]


def _posts() -> list[str]:
    from qtrace.post.compose import post_names

    return post_names()


def _languages() -> list[str]:
    from qtrace.post.language import language_names

    return language_names()


def _sites() -> list[str]:
    from qtrace.post.site import site_names

    return site_names()


@click.command(
    "post",
    cls=Verb,
    examples=(
        (
            "qtrace post tap --lang zh --site al-folio -o BLOG",
            "the post on tap networking, for a Jekyll blog",
        ),
        ("qtrace post user --lang zh --lang en --run RUN -o BLOG", "with the speed and the cost of a run"),
    ),
)
@click.argument("name", metavar="POST", shell_complete=completing(_posts))
@click.option(
    "--lang",
    "languages",
    multiple=True,
    required=True,
    metavar="LANGUAGE",
    shell_complete=completing(_languages),
    help="zh or en; may be given more than once.",
)
@click.option(
    "--site",
    default="plain",
    show_default=True,
    shell_complete=completing(_sites),
    help="What the blog is made with: al-folio, jekyll, hugo, mkdocs, hexo, or plain Markdown.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The blog's folder.",
)
@click.option(
    "--run",
    "run",
    type=click.Path(path_type=Path),
    help="Take what is measured from this run of 'qtrace bench posts'; without it that is left out.",
)
@click.option(
    "--material",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the lab's transcript and packets in this folder, and take them from there if they are there.",
)
@click.option(
    "--newer",
    metavar="VERSION|FILE",
    default="",
    help="Say what changed up to this other index [default: none].",
)
@index_option
def command(
    name: str,
    languages: tuple[str, ...],
    site: str,
    output: Path,
    run: Path | None,
    material: Path | None,
    newer: str,
    index_name: str,
) -> None:
    """Write POST (user, tap, socket, virtio) of the series, ready for a blog.

    A lab is started for it: what the post shows of commands and packets was printed and captured there.
    Every figure, name and place in the post is in its facts.json, with the source. Needs root, as labs do.
    """
    from qtrace.post.compose import load_post
    from qtrace.post.language import load_language
    from qtrace.post.site import load_site
    from qtrace.post.writing import compose_post, write_post
    from qtrace.store.run import RunReader

    kind, profile = load_post(name), load_site(site)
    for language in languages:
        load_language(language)
    index = named_index(index_name) if index_name else _index_with_libraries()
    other = named_index(newer) if newer else None
    reader = RunReader.open(run) if run else None
    progress = ConsoleProgress()
    try:
        if reader is None:
            progress.warn("without --run all that is measured is left out ('qtrace bench posts' makes a run)")
        with contextlib.ExitStack() as stack:
            where = material or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            found = _material(kind, where, progress)
            for language in languages:
                files = compose_post(kind, language, profile, found, index, reader, other)
                for path in write_post(output, files):
                    if path.suffix == ".md":
                        progress.done(f"the post {name} in {language}")
                        click.echo(str(path))
    finally:
        progress.close()


def _index_with_libraries() -> Index:
    """The index used last; the one with libslirp beside it where that was indexed too."""
    index = named_index("")
    if not index.libraries:
        with contextlib.suppress(StoreError):
            return named_index(f"{index.meta['qemu']}+libraries")
    return index


def _material(kind: PostKind, folder: Path, progress: ConsoleProgress) -> Material:
    from qtrace.post.material import gather, read_material

    if (folder / "reach.json").exists():
        return read_material(folder)
    return gather(kind.script, folder, progress)
