"""The facts of every file of a tree: read by two processes, cached by content, read again only when changed.

A file's facts are valid as long as the file, all files that it includes, and its flags are unchanged. They
are cached under a hash of these contents, so an old state of the tree finds its facts again.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib.metadata
import json
import multiprocessing
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple, Protocol

from qtrace.cache import atomic_file, cache_dir
from qtrace.errors import SourceError
from qtrace.index.extract import Attempt, extract_json, precompile
from qtrace.index.facts import Facts, facts_from_json
from qtrace.index.inputs import Input, Inputs, digest
from qtrace.index.prepare import COMMON, Prepared
from qtrace.progress import Progress
from qtrace.store.index import FORMAT
from qtrace.worker import leave_requests, unasked

__all__ = ["Read", "Sources", "incomplete", "read_units"]

_WORKERS = 2
_FEW = 3  # files with the same flags that do not repay what precompiling their first header costs
_EVERY = 20  # files between two messages of progress
_MOST_KEPT = 4000  # files of cached facts; the oldest are removed first
# clang takes and gives back memory for each file: kept, and in large pages, it costs a twentieth less time.
_MEMORY = ":".join(
    f"glibc.malloc.{name}={value}"
    for name, value in (
        ("hugetlb", 1),
        ("top_pad", 64 << 20),
        ("trim_threshold", 512 << 20),
        ("mmap_threshold", 512 << 20),
    )
)
# Every C file of QEMU includes this header first: precompiling it halves the time to parse.
_FIRST = "include/qemu/osdep.h"


class Read(NamedTuple):
    """The facts of each file, the targets' own last; their input files; the number of files parsed."""

    facts: list[Facts]
    inputs: list[Input]
    parsed: int


def read_units(tree: Sources, prepared: Prepared, progress: Progress) -> Read:
    """The facts of all files of `tree`. Raises SourceError."""
    return _Units(tree, prepared, progress).read()


class Sources(Protocol):
    """A tree whose C `files`, relative to `root`, are to be read; `label` is its name."""

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
        # Facts that differ between targets are those of the first target, whatever was read first.
        rank = list(self.prepared.flags)
        facts = sorted((found[file] for file in self.files), key=lambda unit: rank.index(unit.flags))
        # By absolute names, so that the files of several trees can be in one index.
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
        """Parse these files. Facts are cached as soon as each file is parsed, so that an interruption loses
        none."""
        # The largest files first, so that both workers end at the same time.
        order = sorted(files, key=lambda name: -(self.tree.root / name).stat().st_size)
        found: dict[str, Facts] = {}
        with self.attempts(order) as attempts, _pool(len(order)) as pool:
            jobs = [pool.submit(extract_json, str(self.tree.root), name, attempts[name]) for name in order]
            for job in as_completed(jobs):
                text, included = job.result()
                facts = facts_from_json(text, sorted({self.inputs.name_of(name) for name in included}))
                found[facts.file] = facts
                self.keep(facts, text)
                if len(found) % _EVERY == 0:
                    text = f"indexing {self.tree.label}: {len(found)} of {len(order)} files"
                    self.progress.step(text)
        self.parsed += sum(name != _FIRST for name in order)
        return found

    @contextlib.contextmanager
    def attempts(self, files: list[str]) -> Iterator[dict[str, tuple[Attempt, ...]]]:
        """How to parse each file; the common first header is precompiled if many files share their flags."""
        flags, names = self.prepared.flags, self.prepared.attempts
        users = [names[file][0] for file in files if file != _FIRST]
        with tempfile.TemporaryDirectory(prefix="qtrace-") as folder:
            ways: dict[str, Attempt] = {}
            for number, name in enumerate(flags):
                pch = Path(folder, f"{number}.pch")
                worth = users.count(name) > _FEW and self.first_includes
                done = worth and precompile(str(self.tree.root / _FIRST), flags[name], pch)
                ways[name] = Attempt(name, flags[name], str(pch) if done else "", name == COMMON)
            plans = {file: tuple(ways[name] for name in names[file]) for file in files if file != _FIRST}
            header = ways[COMMON]
            yield plans | {_FIRST: (header._replace(flags=("-xc-header", *header.flags), pch=""),)}

    def kept(self, file: str) -> Facts | None:
        """The cached facts of a file, if all their inputs are unchanged."""
        for path in sorted(_home().glob(f"{self.key(file)}-*")):
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError), path.open() as handle:
                before = dict(json.loads(handle.readline()))
                if all(self.inputs.get(name).sha256 == content for name, content in before.items()):
                    facts = facts_from_json(handle.readline(), [*before])
                    path.touch()
                    return facts
        return None

    def keep(self, facts: Facts, text: str) -> None:
        before = {name: self.inputs.get(name).sha256 for name in facts.includes}
        state = digest(*(f"{name} {content}" for name, content in before.items()))[:16]
        target = _home() / f"{self.key(facts.file)}-{state}"
        # Facts that cannot be cached cost time only; an unwritable index is reported elsewhere.
        with contextlib.suppress(OSError), atomic_file(target) as beside:
            beside.write_text(f"{json.dumps(before)}\n{text}\n")

    @functools.cached_property
    def first_state(self) -> str:
        """A hash of the precompiled header with all that it includes: the same for every file."""
        return digest(*(self.inputs.get(name).sha256 for name in self.first_includes))

    def key(self, file: str) -> str:
        """A hash of the file's content, of the attempts with which it may be parsed and of what all files
        include first."""
        names = self.prepared.attempts[file] if file != _FIRST else (COMMON,)
        words = [word for name in names for word in (name, *self.prepared.flags[name])]
        places = (
            (str(self.prepared.generated), "%"),
            (str(self.tree.root), "."),
            (str(cache_dir()), "~"),
        )
        for place, sign in places:
            words = [word.replace(place, sign) for word in words]
        first = self.first_state if file != _FIRST else ""
        return digest(str(FORMAT), _clang(), file, self.inputs.get(file).sha256, first, *words)[:32]


def incomplete(found: Mapping[str, Facts]) -> list[str]:
    """The files whose facts leave out a header that no other file's facts contain.

    Facts that were cached at different times may each leave a header to the other. So the file to which a
    header was left must have its facts, and must not leave them, through any chain of files, to the first
    file.
    """
    relied: dict[tuple[str, str], set[str]] = defaultdict(set)  # (file, header) -> files with its facts
    for file, facts in found.items():
        for header, owner in facts.relied:
            relied[file, header].add(owner)
    known: dict[tuple[str, str], bool] = {}

    def whole(file: str, header: str) -> bool:
        if (file, header) not in known:
            known[file, header] = False  # while it is being computed: a visit now means a circle
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
    """Worker processes that have not read any header yet."""
    workers = max(1, min(_WORKERS, os.cpu_count() or 1, jobs))
    context = multiprocessing.get_context("forkserver")
    # libclang is loaded once for all workers.
    context.set_forkserver_preload(["__main__", extract_json.__module__])
    pool = ProcessPoolExecutor(workers, context, initializer=_begin)
    try:
        with _tuned(), unasked():
            # Starts the server from which the workers are forked, now and later.
            pool.submit(os.getpid).result()
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


@contextlib.contextmanager
def _tuned() -> Iterator[None]:
    """Processes that start meanwhile manage memory as `_MEMORY` says, if the user has not said how."""
    name = "GLIBC_TUNABLES"
    if name in os.environ:
        yield
        return
    os.environ[name] = _MEMORY
    try:
        yield
    finally:
        del os.environ[name]


def _begin() -> None:
    leave_requests()  # the parent handles Ctrl-C: it cancels the remaining work
    gc.disable()  # objects in a worker have no cycles; searching for them takes a tenth of the time


def _prune() -> None:
    kept = []
    for path in _home().iterdir():
        with contextlib.suppress(OSError):  # another qtrace builds an index and has removed it
            kept.append((path.stat().st_mtime_ns, path))
    for _, path in sorted(kept)[:-_MOST_KEPT]:
        path.unlink(missing_ok=True)
