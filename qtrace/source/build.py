"""Tree -> index: prepare, extract in two processes, resolve, write. The second time it is there."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import multiprocessing
import os
import re
import shutil
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from qtrace.cache import locked, need_space
from qtrace.debian import fetch_source, source_of
from qtrace.errors import MissingPrerequisite, SourceError
from qtrace.progress import SILENT, Progress
from qtrace.source.extract import extract
from qtrace.source.facts import Facts
from qtrace.source.guards import guards
from qtrace.source.libraries import Library, facts_of
from qtrace.source.prepare import prepare
from qtrace.source.resolve import Graph, resolve
from qtrace.source.tree import Tree, open_tree
from qtrace.store.index import FORMAT, Index, index_path, mark_current, open_index, write_index

__all__ = ["ensure_index", "matching_tree"]

_WORKERS = 2
_EVERY = 20  # files between two words of progress


def matching_tree(binary: Path | None, progress: Progress) -> Path:
    """The unpacked source that the installed `binary` was built from, fetched if it is not there."""
    found = binary or shutil.which("qemu-system-x86_64")
    if not found:
        raise MissingPrerequisite(
            "qemu-system-x86_64 is not installed, so there is nothing to match a source to",
            hint="run: apt-get install qemu-system-x86, or: qtrace index --source TREE",
        )
    package, version = source_of(Path(found).resolve())
    return fetch_source(package, version, progress)


def ensure_index(
    progress: Progress = SILENT,
    source: Path | None = None,
    binary: Path | None = None,
    libraries: Sequence[Library] = (),
) -> tuple[Index, bool]:
    """The index of `source`, or of the tree that matches `binary`, and whether it had to be made.

    With other `libraries` in it, it is another index. Raises SourceError, MissingPrerequisite, StoreError.
    """
    tree = open_tree(source or matching_tree(binary, progress))
    key = _key(tree, libraries)
    version = tree.version + ("+libraries" if libraries else "")
    path = index_path(f"qemu-{version}-{key}-{FORMAT}")
    made = False
    with locked(f"index-{key}"):
        if not path.exists():
            need_space(path.parent, 200, "the source index")
            _build(tree, path, progress, libraries)
            made = True
        mark_current(path)
    return open_index(path), made


def _key(tree: Tree, libraries: Sequence[Library]) -> str:
    if not libraries:
        return tree.key
    parts = (tree.key, *sorted(library.key for library in libraries))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _build(tree: Tree, path: Path, progress: Progress, libraries: Sequence[Library]) -> None:
    began = time.monotonic()
    prepared = prepare(tree, progress)
    facts = _extract_all(tree, prepared.common, prepared.specific, progress)
    facts += [unit for library in libraries for unit in facts_of(library, facts, progress)]
    progress.step("resolving indirect calls")
    graph = resolve(facts)
    numbers = {usr: n for n, usr in enumerate([*graph.functions, *graph.external], 1)}
    rows = _rows(tree, facts, graph, numbers)
    meta = {
        "qemu": tree.version,
        "root": str(tree.root),
        "configuration": "synthesised: every networking feature on, nothing built",
        "libclang": importlib.metadata.version("libclang"),
        "libraries": json.dumps({library.name: str(library.root) for library in libraries}),
        "missing": "; ".join(prepared.missing),
        "seconds": f"{time.monotonic() - began:.1f}",
    }
    write_index(path, meta, rows)


def _extract_all(
    tree: Tree, common: tuple[str, ...], specific: dict[str, tuple[str, ...]], progress: Progress
) -> list[Facts]:
    """Facts of every file, in the order of the tree's files."""
    # The largest first, so that the two workers end together.
    order = sorted(tree.files, key=lambda name: -(tree.root / name).stat().st_size)
    found: dict[str, Facts] = {}
    context = multiprocessing.get_context("forkserver")
    pool = ProcessPoolExecutor(min(_WORKERS, os.cpu_count() or 1), context, initializer=_ignore_interrupt)
    try:
        jobs = {pool.submit(extract, str(tree.root), name, common, specific): name for name in order}
        for job in as_completed(jobs):
            found[jobs[job]] = job.result()
            if len(found) % _EVERY == 0:
                progress.step(f"indexing QEMU {tree.version}: {len(found)} of {len(order)} files")
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
    return [found[name] for name in tree.files]


def _ignore_interrupt() -> None:
    """Ctrl-C is the parent's to answer: it cancels what is left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _rows(tree: Tree, facts: list[Facts], graph: Graph, numbers: dict[str, int]) -> dict[str, list[Any]]:
    rows: dict[str, list[Any]] = {
        "files": [(unit.file, unit.flags, "; ".join(unit.errors)) for unit in facts],
        "functions": [
            (numbers[f.usr], f.name, f.usr, f.file, f.line, f.end, int(f.static), f.signature, f.guard)
            for f in graph.functions.values()
        ]
        + [
            (numbers[usr], name, usr, None, None, None, 0, None, None) for usr, name in graph.external.items()
        ],
        "edges": [
            (numbers[e.caller], numbers[e.callee], e.file, e.line, e.kind, e.rule, e.field, e.evidence)
            for e in graph.edges
            if e.caller in numbers and e.callee in numbers
        ],
        "unresolved": [(numbers[caller], *rest) for caller, *rest in graph.unresolved],
        "tables": [
            (s.variable, *_split(s.owner), s.what, _value(s.what, s.value, numbers), s.row, s.file, s.line)
            for s in graph.stores
            if s.variable
        ],
        "variables": list(dict.fromkeys(entry for unit in facts for entry in unit.variables)),
        "registrations": [
            (r.owner, r.what, _value(r.what, r.value, numbers), r.rule, numbers.get(r.caller), r.file, r.line)
            for r in graph.registrations
        ]
        + [
            (s.owner, s.what, _value(s.what, s.value, numbers), "assignment", None, s.file, s.line)
            for s in graph.stores
            if not s.variable and s.what in ("string", "field", "made")
        ],
        "enums": list(dict.fromkeys(entry for unit in facts for entry in unit.enums)),
        "backends": _backends(tree, graph, numbers),
    }
    structs = {struct.name: struct for unit in reversed(facts) for struct in unit.structs}
    rows["structs"] = [
        (struct.name, *entry, struct.size) for struct in structs.values() for entry in struct.fields
    ]
    return rows


def _split(owner: str) -> tuple[str, str]:
    """`Struct.field` -> both; an array of functions has no struct."""
    struct, dot, name = owner.rpartition(".")
    return (struct, name) if dot else ("", owner)


def _value(what: str, value: str, numbers: dict[str, int]) -> str:
    return str(numbers[value]) if what in ("function", "made") and value in numbers else value


def _backends(tree: Tree, graph: Graph, numbers: dict[str, int]) -> list[tuple[object, ...]]:
    """The rows of `net_client_init_fun[]`, those that this configuration leaves out included."""
    text = (tree.root / "net" / "net.c").read_text(errors="replace")
    start = re.search(r"\bnet_client_init_fun\s*\[", text)
    if not start:
        raise SourceError(f"{tree.root}/net/net.c has no net_client_init_fun[]: its back ends are not known")
    conditions = guards(text)
    first = text.count("\n", 0, start.start())
    known = {s.row: s.value for s in graph.stores if s.variable == "net_client_init_fun"}
    found: list[tuple[object, ...]] = []
    for number, line in enumerate(text.splitlines()[first:], first + 1):
        entry = re.match(r"\s*\[\s*(NET_CLIENT_DRIVER_\w+)\s*\]\s*=\s*(\w+)", line)
        if entry:
            driver, init = entry.groups()
            found.append(
                (
                    driver,
                    conditions[number - 1],
                    init,
                    numbers.get(known.get(driver, "")),
                    "net/net.c",
                    number,
                )
            )
        elif line.startswith("};") or (line.startswith("}") and found):
            break
    return found
