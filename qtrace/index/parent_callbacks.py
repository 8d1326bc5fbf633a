"""Callbacks of a parent class that a class saves: `device_class_set_parent_realize(dc, mine,
&c->parent_realize)`.

The saved callback is the one that the nearest ancestor's class_init stored in the class (hw/core/qdev.c,
qom/object.c: a class starts as a copy of its parent's). The tree's `TypeInfo` tables name the ancestors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from qtrace.index.facts import Pass, Store

__all__ = ["Kept", "kept_of_parents"]


class Kept(NamedTuple):
    """`taken` stores `function` in its field; the ancestor's class_init set `function` at (`file`,
    `line`)."""

    taken: Pass
    function: str
    source: str
    file: str
    line: int


def kept_of_parents(stores: Iterable[Store], passes: Iterable[Pass]) -> Iterator[Kept]:
    """Every field that gets its parent class's function through the field's address."""
    types: dict[str, dict[str, str]] = defaultdict(dict)  # a TypeInfo table -> name, parent, class_init
    set_in: dict[tuple[str, str], Store] = {}  # (class_init, field) -> the store
    out: dict[tuple[str, int], str] = {}  # (callee, argument) -> the field whose value it receives
    for store in stores:
        if store.owner in ("TypeInfo.name", "TypeInfo.parent", "TypeInfo.class_init") and store.variable:
            types[f"{store.file} {store.variable} {store.row}"][store.owner] = store.value
        elif store.what == "function" and store.caller:
            set_in.setdefault((store.caller, store.owner), store)
        elif store.what == "out":
            number, _, callee = store.owner.partition(" ")
            out[callee, int(number)] = store.value
    by_name = {entry.get("TypeInfo.name", ""): entry for entry in types.values()}
    for item in passes:
        source = out.get((item.callee, item.argument)) if item.what == "address" else None
        for entry in types.values() if source else ():
            if source and entry.get("TypeInfo.class_init") == item.caller:
                for init in _ancestors(entry, by_name):
                    if found := set_in.get((init, source)):
                        yield Kept(item, found.value, source, found.file, found.line)
                        break


def _ancestors(entry: dict[str, str], by_name: dict[str, dict[str, str]]) -> Iterator[str]:
    """The class_init functions of a type's ancestors, nearest first."""
    seen: set[str] = set()
    while (parent := entry.get("TypeInfo.parent", "")) in by_name and parent not in seen:
        seen.add(parent)
        entry = by_name[parent]
        yield entry.get("TypeInfo.class_init", "")
