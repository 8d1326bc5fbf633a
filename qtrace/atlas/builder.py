"""Builds the atlas: releases are read and pages are written by several processes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from qtrace.atlas.core_parts import load_parts
from qtrace.atlas.documents import Document, document_pages, find_documents
from qtrace.atlas.edition import Edition, Page
from qtrace.atlas.front_pages import front_pages
from qtrace.atlas.function_pages import function_pages
from qtrace.atlas.grid_page import grid_page
from qtrace.atlas.pair_pages import pair_pages
from qtrace.atlas.release_facts import Release, read_release
from qtrace.atlas.run_figures import NO_FIGURES, Measurable, read_figures
from qtrace.atlas.search_entries import search_script
from qtrace.atlas.source_pages import source_pages
from qtrace.atlas.style import style_sheet
from qtrace.atlas.thing_pages import thing_pages
from qtrace.atlas.wording import load_wording
from qtrace.cache import atomic_dir
from qtrace.errors import StoreError
from qtrace.lab.guest.program_parts import ProgramParts
from qtrace.post.language import load_language
from qtrace.progress import SILENT, Progress
from qtrace.report.speech import speaking
from qtrace.store.index import open_index
from qtrace.store.run import RunReader
from qtrace.worker import leave_requests, unasked

__all__ = ["MARK", "Built", "build_atlas", "require_ours", "stamp_of"]

MARK = "atlas.json"  # by which a folder is known as an atlas
_CHUNK = 40  # pages that a process writes at a time


@dataclass(frozen=True, slots=True)
class Built:
    """What was written: pages, bytes in all, the largest page with its bytes, seconds."""

    folder: Path
    releases: tuple[str, ...]
    pages: int
    size: int
    largest: str
    largest_size: int
    seconds: float


def build_atlas(
    indexes: Sequence[Path],
    out: Path,
    language: str = "en",
    runs: Sequence[RunReader] = (),
    *,
    with_source: bool = False,
    program: ProgramParts | None = None,
    posts: Path | None = None,
    progress: Progress = SILENT,
) -> Built:
    """Write the atlas of these indexes into the folder `out`, which becomes it as a whole or stays as it was.
    `program`: an installed QEMU, whose release is shown with what it has; `posts`: a folder of posts in place
    of the checkout's.

    Raises StoreError for a folder that holds something else, and what reading an index or a run raises.
    """
    begun = time.monotonic()
    require_ours(out)
    wording = load_wording(language)
    releases = [
        replace(release, program=program) if program and program.version == release.qemu else release
        for release in _read(indexes, with_source, progress)
    ]
    edition = Edition(tuple(releases), wording, load_language(language), load_parts(), NO_FIGURES)
    if runs:
        progress.step("reading the runs")
        with speaking(edition.spoken):
            edition = replace(edition, runs=read_figures(runs, _paths(releases)))
    documents = find_documents(language, posts)
    pages = [*all_pages(edition, documents)]
    try:
        with atomic_dir(out) as work:
            sizes = _write(edition, pages, work, progress)
            _figures(documents, work)
            _assets(edition, work, stamp_of(indexes), documents)
            size = sum(path.stat().st_size for path in work.rglob("*") if path.is_file())
    except OSError as exc:
        raise StoreError(f"cannot write the atlas to {out}: {exc.strerror}") from exc
    largest = max(sizes, key=lambda name: sizes[name])
    names = tuple(release.name for release in releases)
    took = time.monotonic() - begun
    return Built(out, names, len(sizes), size, largest, sizes[largest], took)


def stamp_of(indexes: Sequence[Path]) -> str:
    """What an atlas of these indexes was made from: another stamp is another atlas."""
    found = [(path.name, path.stat().st_mtime_ns) for path in indexes]
    return hashlib.sha256(repr(found).encode()).hexdigest()[:16]


def require_ours(out: Path) -> None:
    """Raise StoreError for a folder with something else in it, which would be lost."""
    if out.exists() and not (out / MARK).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise StoreError(
            f"{out} is not empty and no atlas: nothing is written", hint="give a folder that is new or empty"
        )


def all_pages(edition: Edition, documents: Sequence[Document] = ()) -> Iterator[Page]:
    """Every page, the largest kinds first."""
    for release in edition.releases:
        yield from function_pages(edition, release)
        yield from pair_pages(edition, release)
        yield grid_page(edition, release)
        yield from source_pages(edition, release)
        yield from thing_pages(edition, release)
    yield from document_pages(edition, documents)
    yield from front_pages(edition, documents)


def _read(indexes: Sequence[Path], with_source: bool, progress: Progress) -> list[Release]:
    """The releases in the order of their versions."""
    found = []
    with _pool() as pool:
        jobs = {pool.submit(_read_one, path, with_source): path for path in indexes}
        for number, job in enumerate(jobs, 1):
            progress.step(f"reading {number} of {len(jobs)} indexes, walking all pairs")
            found.append(job.result())
    return sorted(found, key=lambda release: (_numbers(release.qemu), release.name))


def _read_one(path: Path, with_source: bool) -> Release:
    return read_release(open_index(path), load_parts(), SILENT, with_source=with_source)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _paths(releases: Sequence[Release]) -> dict[str, tuple[str, list[Measurable]]]:
    """Release -> (QEMU's version, (type of a NIC, its path) of everything that a run may have measured)."""
    found = {}
    for release in releases:
        types = {entry["name"]: (*entry["types"], entry["name"]) for entry in release.catalogue["nics"]}
        paths = [
            (kind, path)
            for pair in release.pairs.values()
            for path in pair.paths()
            for kind in dict.fromkeys(types[pair.nic])
        ]
        found[release.name] = (release.qemu, paths)
    return found


_JOB: tuple[Edition, Sequence[Page], Path, dict[str, frozenset[str]]] | None = None


def _write(edition: Edition, pages: Sequence[Page], work: Path, progress: Progress) -> dict[str, int]:
    """Page -> its size in bytes."""
    global _JOB
    elsewhere = {
        release.name: frozenset(page.path for page in pages if page.release is release)
        for release in edition.releases
    }
    # A forked process has all of it without a copy.
    _JOB = (edition, pages, work, elsewhere)
    sizes: dict[str, int] = {}
    try:
        with _pool() as pool:
            for done in pool.map(_write_chunk, range(0, len(pages), _CHUNK)):
                sizes |= done
                progress.step(f"writing {len(sizes)} of {len(pages)} pages")
    finally:
        _JOB = None
    return sizes


def _write_chunk(first: int) -> dict[str, int]:
    assert _JOB
    edition, pages, work, elsewhere = _JOB
    sizes = {}
    for page in pages[first : first + _CHUNK]:
        data = edition.render(page, elsewhere).encode("utf-8", errors="replace")
        place = work / page.place
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        sizes[page.place] = len(data)
    return sizes


@contextlib.contextmanager
def _pool() -> Iterator[ProcessPoolExecutor]:
    """Processes for the work, none of which outlives the block. Raises StoreError if one was ended."""
    processes = max(1, min(8, len(os.sched_getaffinity(0))))
    fork = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(processes, mp_context=fork, initializer=leave_requests)
    try:
        with unasked():
            pool.submit(os.getpid)  # with fork, the first job starts them all
        yield pool
        pool.shutdown()
    except BaseException as exc:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()
            child.join()
        if isinstance(exc, BrokenProcessPool):
            hint = "free memory, or build fewer releases at a time"
            raise StoreError("a process that built the atlas was ended", hint=hint) from exc
        raise


def _figures(documents: Sequence[Document], work: Path) -> None:
    for document in documents:
        for address, file in document.figures.items():
            place = work / document.figure(address)
            place.write_bytes(file.read_bytes())


def _assets(edition: Edition, work: Path, stamp: str, documents: Sequence[Document]) -> None:
    folder = work / "assets"
    folder.mkdir()
    (folder / "atlas.css").write_text(style_sheet(), encoding="utf-8")
    t = edition.wording
    keys = ("dark", "search", "search_hint", "results", "no_results")
    words = json.dumps({key: t.word(key) for key in keys})
    for name, head in {"theme.js": "", "atlas.js": f"const words = {words};\n"}.items():
        text = (resources.files("qtrace.atlas") / "templates" / name).read_text(encoding="utf-8")
        (folder / name).write_text(head + text, encoding="utf-8")
    (folder / "search.js").write_text(search_script(edition, documents), encoding="utf-8")
    names = [release.name for release in edition.releases]
    mark = {"releases": names, "language": edition.wording.name, "built": stamp}
    (work / MARK).write_text(json.dumps(mark) + "\n", encoding="utf-8")
