"""The facts of every file of a tree: read by two processes, kept by content, read again only where needed.

A file's facts hold for as long as it, everything that it includes and its flags are as they were; they
are kept under a name made of these contents, so an old state of the tree finds its facts again.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib.metadata
import json
import multiprocessing
import os
import signal
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple, Protocol

from qtrace.cache import atomic_file, cache_dir
from qtrace.errors import SourceError
from qtrace.index.extract import Attempt, extract, precompile
from qtrace.index.facts import Facts, facts_from_json, facts_to_json
from qtrace.index.inputs import Input, Inputs, digest
from qtrace.index.prepare import COMMON, Prepared
from qtrace.progress import Progress
from qtrace.store.index import FORMAT

__all__ = ["Read", "Sources", "incomplete", "read_units"]

_WORKERS = 2
_EVERY = 20  # files between two words of progress
_MOST_KEPT = 4000  # files of facts; the oldest go first
# Every C file of QEMU begins with it: compiled once, it halves parsing.
_FIRST = "include/qemu/osdep.h"


class Read(NamedTuple):
    """The facts of each file, the targets' own last; what they come from; how many were parsed."""

    facts: list[Facts]
    inputs: list[Input]
    parsed: int


def read_units(tree: Sources, prepared: Prepared, progress: Progress) -> Read:
    """The facts of all files of `tree`. Raises SourceError."""
    return _Units(tree, prepared, progress).read()


class Sources(Protocol):
    """A tree whose C `files`, relative to `root`, are read; `label` names it."""

    @property
    def root(self) -> Path: ...

    @property
    def files(self) -> tuple[str, ...]: ...

    @property
    def label(self) -> str: ...


class _Units:
    def __init__(self, tree: Sources, prepared: Prepared, progress: Progress) -> None:
        self.tree = tree
        self.prepared = prepared
        self.progress = progress
        self.inputs = Inputs(tree.root, prepared.generated)
        first = (_FIRST,) if (tree.root / _FIRST).is_file() else ()
        self.files = (*first, *tree.files)
        self.first_includes: list[str] = []
        self.parsed = 0

    def read(self) -> Read:
        found: dict[str, Facts] = {}
        if _FIRST in self.files:
            found |= self.kept_or_parsed([_FIRST])
            self.first_includes = [_FIRST, *found[_FIRST].includes]
        found |= self.kept_or_parsed(self.tree.files)
        while stale := incomplete(found):
            found |= self.parse(stale)
        names = {name for file, facts in found.items() for name in (file, *facts.includes)}
        read = [self.inputs.get(name) for name in sorted(names | set(self.first_includes))]
        _prune()
        # What differs between targets is as the first one has it, whatever was read first.
        rank = list(self.prepared.flags)
        facts = sorted((found[file] for file in self.files), key=lambda unit: rank.index(unit.flags))
        # By their whole names, so that those of several trees can stand together.
        read += self.prepared.made_from
        inputs = [item._replace(name=str(self.inputs.path_of(item.name))) for item in read]
        return Read(facts, inputs, self.parsed)

    def kept_or_parsed(self, files: Iterable[str]) -> dict[str, Facts]:
        found, left = {}, []
        for file in files:
            if facts := self.kept(file):
                found[file] = facts
            else:
                left.append(file)
        return found | self.parse(left) if left else found

    def parse(self, files: list[str]) -> dict[str, Facts]:
        """Facts of these files from the files themselves; kept as they come, so that nothing is lost."""
        # The largest first, so that the two workers end together.
        order = sorted(files, key=lambda name: -(self.tree.root / name).stat().st_size)
        found: dict[str, Facts] = {}
        with self.attempts(order) as attempts, _pool(len(order)) as pool:
            jobs = {pool.submit(extract, str(self.tree.root), name, attempts[name]): name for name in order}
            for job in as_completed(jobs):
                facts = job.result()
                facts.includes = sorted({self.inputs.name_of(name) for name in facts.includes})
                found[facts.file] = facts
                self.keep(facts)
                if len(found) % _EVERY == 0:
                    text = f"indexing {self.tree.label}: {len(found)} of {len(order)} files"
                    self.progress.step(text)
        self.parsed += sum(name != _FIRST for name in order)
        return found

    @contextlib.contextmanager
    def attempts(self, files: list[str]) -> Iterator[dict[str, tuple[Attempt, ...]]]:
        """How to parse each file; the header that all begin with is compiled where many share their flags."""
        flags, names = self.prepared.flags, self.prepared.attempts
        users = [names[file][0] for file in files if file != _FIRST]
        with tempfile.TemporaryDirectory(prefix="qtrace-") as folder:
            ways: dict[str, Attempt] = {}
            for number, name in enumerate(flags):
                pch = Path(folder, f"{number}.pch")
                worth = users.count(name) > 2 and self.first_includes
                done = worth and precompile(str(self.tree.root / _FIRST), flags[name], pch)
                ways[name] = Attempt(name, flags[name], str(pch) if done else "", name == COMMON)
            plans = {file: tuple(ways[name] for name in names[file]) for file in files if file != _FIRST}
            header = ways[COMMON]
            yield plans | {_FIRST: (header._replace(flags=("-xc-header", *header.flags), pch=""),)}

    def kept(self, file: str) -> Facts | None:
        """The facts of a file as they were kept, if everything that they come from is as it was."""
        for path in sorted(_home().glob(f"{self.key(file)}-*")):
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError), path.open() as handle:
                before = json.loads(handle.readline())
                if all(self.inputs.get(name).sha256 == content for name, content in before):
                    facts = facts_from_json(json.loads(handle.readline()))
                    path.touch()
                    return facts
        return None

    def keep(self, facts: Facts) -> None:
        names = [*facts.includes, *self.first_includes]
        before = [(name, self.inputs.get(name).sha256) for name in dict.fromkeys(names)]
        state = digest(*(f"{name} {content}" for name, content in before))[:16]
        target = _home() / f"{self.key(facts.file)}-{state}"
        # Facts that cannot be kept only cost time; that the index cannot be written is said there.
        with contextlib.suppress(OSError), atomic_file(target) as beside:
            beside.write_text(f"{json.dumps(before)}\n{json.dumps(facts_to_json(facts))}\n")

    def key(self, file: str) -> str:
        """A name for the file's own content and the ways in which it may be parsed."""
        names = self.prepared.attempts[file] if file != _FIRST else (COMMON,)
        words = [word for name in names for word in (name, *self.prepared.flags[name])]
        places = (
            (str(self.prepared.generated), "%"),
            (str(self.tree.root), "."),
            (str(cache_dir()), "~"),
        )
        for place, sign in places:
            words = [word.replace(place, sign) for word in words]
        return digest(str(FORMAT), _clang(), file, self.inputs.get(file).sha256, *words)[:32]


def incomplete(found: Mapping[str, Facts]) -> list[str]:
    """The files whose facts leave something out that is among nobody's.

    Facts that were kept at different times may each leave a header to the other. So what a file relies on
    must have the header, and must not rely on the file itself for it, however many hands it goes through.
    """
    relied: dict[tuple[str, str], set[str]] = defaultdict(set)  # (file, header) -> those that it relies on
    for file, facts in found.items():
        for header, owner in facts.relied:
            relied[file, header].add(owner)
    known: dict[tuple[str, str], bool] = {}

    def whole(file: str, header: str) -> bool:
        if (file, header) not in known:
            known[file, header] = False  # while it is asked: who comes back here has gone in a circle
            known[file, header] = all(
                owner in found and header in found[owner].includes and whole(owner, header)
                for owner in relied.get((file, header), ())
            )
        return known[file, header]

    return sorted({file for file, header in list(relied) if not whole(file, header)})


@functools.cache
def _clang() -> str:
    return importlib.metadata.version("libclang")


def _home() -> Path:
    return cache_dir("facts")


@contextlib.contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes that have read no header yet."""
    workers = max(1, min(_WORKERS, os.cpu_count() or 1, jobs))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["__main__", extract.__module__]
    )  # libclang is loaded once for all workers
    pool = ProcessPoolExecutor(workers, context, initializer=_begin)
    try:
        yield pool
    except BrokenProcessPool as exc:
        raise SourceError(
            "a process that reads the source was ended from outside",
            hint="is there memory left? run it again",
        ) from exc
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer: it cancels what is left
    gc.disable()  # nothing in a worker refers to itself, and looking for it takes a tenth of the time


def _prune() -> None:
    kept = []
    for path in _home().iterdir():
        with contextlib.suppress(OSError):  # another index is being made, and has taken it away
            kept.append((path.stat().st_mtime_ns, path))
    for _, path in sorted(kept)[:-_MOST_KEPT]:
        path.unlink(missing_ok=True)
