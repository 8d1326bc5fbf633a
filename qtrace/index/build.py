"""Builds the index of a tree: prepare, read the files, resolve, write. An existing index is used again."""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import json
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from qtrace.cache import locked, need_space
from qtrace.distribution.identity import distribution
from qtrace.errors import MissingPrerequisite, SourceError, StoreError
from qtrace.index.facts import Facts, Struct
from qtrace.index.guards import guards
from qtrace.index.inputs import Input, Inputs, digest
from qtrace.index.libraries import Library, read_library
from qtrace.index.mentions import mentions
from qtrace.index.platforms import other_platform
from qtrace.index.prepare import prepare
from qtrace.index.resolve import EdgeFact, Graph, resolve
from qtrace.index.tree import Tree, open_tree
from qtrace.index.units import read_units
from qtrace.model import BY_TYPE, EXACT
from qtrace.progress import SILENT, Progress
from qtrace.store.index import FORMAT, Index, has_current, index_path, mark_current, open_index
from qtrace.store.index_writer import write_index

__all__ = ["ensure_index", "matching_tree", "recipe_of", "release_tree"]

_MOST_INDEXES = 6  # indexes kept for one tree: switching back to an earlier state finds its index


def matching_tree(binary: Path | None, progress: Progress) -> Path:
    """The unpacked source from which the installed `binary` was built, downloaded if necessary."""
    found = binary or shutil.which("qemu-system-x86_64")
    if not found:
        raise MissingPrerequisite(
            "qemu-system-x86_64 is not installed, so there is nothing to match a source to",
            hint=f"{distribution().hint('qemu-system-x86_64')}, or: qtrace index --source TREE",
        )
    package, version = distribution().source_of(Path(found).resolve())
    return distribution().fetch_source(package, version, progress)


def release_tree(suite: str, progress: Progress = SILENT) -> Path:
    """The unpacked QEMU source of the distribution's release `suite`, in the newest available version."""
    return distribution().fetch_newest_source("qemu", suite, progress)


def ensure_index(
    progress: Progress = SILENT,
    source: Path | None = None,
    binary: Path | None = None,
    build: Path | None = None,
    libraries: Sequence[Library] = (),
    more: Sequence[str] = (),
    current: bool = True,
) -> tuple[Index, bool]:
    """The index of `source`, or of the tree that matches `binary`, and whether it had to be built.

    `build` is a folder in which the tree was configured: the index then uses the build's compiler flags.
    With `libraries`, or with `more` (patterns of further C files), the index is a separate one. An index is
    identified by the content of the files, so a state of the trees that was indexed before is found again.
    `current` makes the index the default for commands that name none; a single index is always the default.
    Raises SourceError, MissingPrerequisite, StoreError.
    """
    tree = open_tree(source or matching_tree(binary, progress), more)
    build = build.resolve() if build else None
    version = tree.version + ("+libraries" if libraries else "") + ("+more" if more else "")
    place = f"qemu-{version}-{digest(str(tree.root))[:8]}"
    recipe = recipe_of(importlib.metadata.version("libclang"), build, libraries, more)
    with locked(place):
        path = _in_place(tree, libraries, place, recipe)
        made = path is None
        if path is None:
            if not _indexes(place) and _indexes(place, "*"):
                text = f"another release of qtrace indexed {tree.root}: it is indexed again for this one"
                progress.warn(text)
            with _no_collection():
                path = _build(tree, build, libraries, more, place, recipe, progress)
            _forget_old(place)
        if current or not has_current():
            mark_current(path)
    return open_index(path), made


def recipe_of(libclang: str, build: Path | None, libraries: Sequence[Library], more: Sequence[str]) -> str:
    """Eight letters for the options that an index depends on besides the content of the files."""
    roots = [f"{library.name} {library.root}" for library in libraries]
    return digest(libclang, str(build or ""), *roots, *more)[:8]


def _in_place(tree: Tree, libraries: Sequence[Library], place: str, recipe: str) -> Path | None:
    """The index of the trees in their present state, if it exists."""
    inputs = Inputs(tree.root, tree.root)
    files = sorted([*tree.files, *(name for library in libraries for name in library.indexed)])
    for path in _indexes(place):
        with contextlib.suppress(StoreError), contextlib.closing(open_index(path)) as index:
            same = index.meta.get("recipe") == recipe and index.indexed_files() == files
            if same and inputs.same(Input(*row) for row in index.inputs()):
                path.touch()
                return path
    return None


def _indexes(place: str, written: int | str = FORMAT) -> list[Path]:
    """The indexes of one tree in one format (`*`: in any), the most recently used first."""
    found = index_path(place).parent.glob(f"{place}*-{written}.sqlite")
    return sorted(found, key=lambda path: -path.stat().st_mtime_ns)


def _forget_old(place: str) -> None:
    for path in _indexes(place, "*")[_MOST_INDEXES:]:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Without the search for circles of objects: facts have none, and it takes a tenth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _build(
    tree: Tree,
    build: Path | None,
    libraries: Sequence[Library],
    patterns: Sequence[str],
    place: str,
    recipe: str,
    progress: Progress,
) -> Path:
    began = time.monotonic()
    need_space(index_path(place).parent, 200, "the source index")
    prepared = prepare(tree, build, progress)
    facts, inputs, parsed = read_units(tree, prepared, progress)
    for library in libraries:
        more = read_library(library, facts, progress)
        facts, inputs, parsed = facts + more.facts, inputs + more.inputs, parsed + more.parsed
    state = digest(recipe, *(f"{item.name} {item.sha256}" for item in inputs))[:12]
    path = index_path(f"{place}{state}-{FORMAT}")
    progress.step("resolving indirect calls")
    graph = resolve(facts)
    numbers = {usr: n for n, usr in enumerate([*graph.functions, *graph.external], 1)}
    rows = _rows(tree, facts, graph, numbers)
    rows["inputs"] = inputs
    meta = {
        "qemu": tree.version,
        "root": str(tree.root),
        "configuration": prepared.configuration,
        "recipe": recipe,
        "build": str(build or ""),
        "more": json.dumps(list(patterns)),
        "libclang": importlib.metadata.version("libclang"),
        "libraries": json.dumps({library.name: str(library.root) for library in libraries}),
        "missing": "; ".join(prepared.missing),
        "parsed": str(parsed),
        "seconds": f"{time.monotonic() - began:.1f}",
    }
    write_index(path, meta, rows)
    return path


def _rows(  # long: one entry for each table
    tree: Tree, facts: list[Facts], graph: Graph, numbers: dict[str, int]
) -> dict[str, list[Any]]:
    kconfig = tree.kconfig()
    sites: dict[tuple[str, str, int, str], set[str]] = defaultdict(set)
    for edge in graph.edges:
        sites[_site(edge)].add(edge.callee)
    rows: dict[str, list[Any]] = {
        "files": [
            (unit.file, unit.flags, "; ".join(unit.errors), kconfig.get(unit.file, ""))
            for unit in facts
            if unit.file.endswith(".c")
        ],
        "functions": [
            (numbers[f.usr], f.name, f.usr, f.file, f.line, f.end, int(f.static), f.signature, f.guard)
            for f in graph.functions.values()
        ]
        + [
            (numbers[usr], name, usr, None, None, None, 0, None, None) for usr, name in graph.external.items()
        ],
        "edges": [
            (
                *(numbers[e.caller], numbers[e.callee], e.file, e.line, e.kind, e.rule, e.field, e.evidence),
                EXACT if e.kind == "direct" or len(sites[_site(e)]) == 1 else BY_TYPE,
                int(e.loop),
                e.parameter,
            )
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
            (
                *(r.owner, r.what, _value(r.what, r.value, numbers), r.rule, numbers.get(r.caller)),
                *(r.file, r.line, int(r.origin is None)),
            )
            for r in graph.registrations
        ]
        + [
            (s.owner, s.what, _value(s.what, s.value, numbers), "assignment", None, s.file, s.line, 1)
            for s in graph.stores
            if not s.variable and s.what in ("string", "field", "made")
        ],
        "passes": [
            (
                *(numbers[p.caller], numbers[p.callee], p.argument, p.what),
                *(_value(p.what, p.value, numbers), p.line),
            )
            for p in graph.passes
            if p.what in ("function", "variable", "param", "string")
            and p.caller in numbers
            and p.callee in numbers
        ],
        "mentions": [
            (numbers[one], numbers[other]) for one, other in mentions(graph) if {one, other} <= numbers.keys()
        ],
        "uses": [(numbers[use.caller], use.what, use.value) for use in graph.uses if use.caller in numbers],
        "cells": list(
            dict.fromkeys(
                (*cell[:5], _value(cell.what, cell.value, numbers)) for unit in facts for cell in unit.cells
            )
        ),
        "enums": list(dict.fromkeys(entry for unit in facts for entry in unit.enums)),
        "backends": _backends(tree, graph, numbers),
    }
    rows["structs"] = [
        (struct.name, *entry, struct.size) for struct in _structs(facts) for entry in struct.fields
    ]
    return rows


def _structs(facts: list[Facts]) -> list[Struct]:
    """One struct for each name, from the first file; never another system's: net/tap.c has a TAPState too."""
    found: dict[str, Struct] = {}
    for unit in sorted(facts, key=lambda unit: other_platform(unit.file)):
        for struct in unit.structs:
            found.setdefault(struct.name, struct)
    return list(found.values())


def _site(edge: EdgeFact) -> tuple[str, str, int, str]:
    return edge.caller, edge.file, edge.line, edge.field


def _split(owner: str) -> tuple[str, str]:
    """`Struct.field` split in two; an array of functions has no struct."""
    struct, dot, name = owner.rpartition(".")
    return (struct, name) if dot else ("", owner)


def _value(what: str, value: str, numbers: dict[str, int]) -> str:
    return str(numbers[value]) if what in ("function", "made") and value in numbers else value


def _backends(tree: Tree, graph: Graph, numbers: dict[str, int]) -> list[tuple[object, ...]]:
    """The rows of `net_client_init_fun[]`, including those that this configuration leaves out."""
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
