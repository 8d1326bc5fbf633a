"""`write_post`: material, index and run become the files of a post at a site, in each language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from qtrace.cache import atomic_file
from qtrace.post.compose import PostKind
from qtrace.post.fact_book import FactBook
from qtrace.post.index_facts import IndexFacts
from qtrace.post.lab_facts import add_lab_facts
from qtrace.post.language import load_language
from qtrace.post.material import Material
from qtrace.post.parts import Parts
from qtrace.post.run_facts import RunFacts
from qtrace.post.site import Site, write_article
from qtrace.store.index import Index
from qtrace.store.run import RunReader

__all__ = ["compose_post", "write_post"]


def compose_post(
    kind: PostKind,
    language: str,
    site: Site,
    material: Material,
    index: Index,
    run: RunReader | None = None,
    newer: Index | None = None,
) -> dict[str, str]:
    """The post's files: path below the blog's folder -> text. `newer` is another release's index.

    Raises PostError, NoPath.
    """
    book = FactBook()
    add_lab_facts(material, book)
    places = IndexFacts(index, book, str(material.head["kernel"]))
    measured = RunFacts(run, book) if run is not None else None
    parts = Parts(kind, load_language(language), book, material, places, measured, newer)
    article = parts.composer.article(str(material.head["date"]))
    head = {"post": kind.name, "language": language, "script": kind.script, "qemu": places.version}
    if run is not None:
        head["run"] = str(run.meta["id"])
    return write_article(article, site, book.to_json(head))


def write_post(folder: Path, files: Mapping[str, str]) -> Sequence[Path]:
    """Write them below `folder`; what stands there under the same name is replaced. Gives the files."""
    written = []
    for name, text in sorted(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as beside:
            beside.write_text(text)
        written.append(path)
    return written
