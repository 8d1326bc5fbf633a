"""For each function, the functions that it can cause to run: those that it calls or names.

A function that no code names is never called through a pointer. So following the names from a device's own
functions, step by step, finds all functions that the device can run, and none of another device that shares
its core (`igb_tx_pkt_vmdq_callback` is named in igb_core.c only).

A name is: a direct call; a function that is passed or assigned; a table that is passed or assigned (with the
functions and tables in it); a table of the same file through which the function calls; and the string of a
QOM type, whose `TypeInfo` has functions and a parent.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping

from qtrace.index.facts import Store
from qtrace.index.resolve import EdgeFact, Graph

__all__ = ["mentions"]

_Table = tuple[str, str]  # (file, variable)


def mentions(graph: Graph) -> Iterator[tuple[str, str]]:
    """(function, function that it can cause to run) as USRs, each pair once."""
    tables = _Tables(graph.stores)
    types = _types(graph.stores)
    found: dict[tuple[str, str], None] = {}
    for edge in graph.edges:
        if edge.kind == "direct" or (edge.rule.startswith("table:") and edge.file in _table_of(edge)):
            found[edge.caller, edge.callee] = None
    named = [(item.caller, item.what, item.value, item.file) for item in graph.passes]
    named += [(r.caller, r.what, r.value, r.file) for r in graph.registrations if r.origin is None]
    for caller, what, value, file in named:
        if what == "function":
            found[caller, value] = None
        elif what == "variable":
            found |= dict.fromkeys((caller, function) for function in tables.functions(value, file))
    for use in graph.uses:
        if use.what == "string" and use.value in types:
            found |= dict.fromkeys((use.caller, function) for function in types[use.value])
    return (pair for pair in found if pair[0])


def _table_of(edge: EdgeFact) -> tuple[str, ...]:
    """The file of the table through which an edge goes; every file for a function's own array."""
    (file, *_), *_ = json.loads(edge.evidence)
    return (edge.file,) if " " in edge.field else (file,)


class _Tables:
    """The functions in a static table and in the tables to which it points."""

    def __init__(self, stores: list[Store]) -> None:
        self._rows: dict[_Table, list[Store]] = defaultdict(list)
        self._files: dict[str, list[str]] = defaultdict(list)
        self._known: dict[_Table, tuple[str, ...]] = {}
        for store in stores:
            if store.variable and store.what in ("function", "variable"):
                if (store.file, store.variable) not in self._rows:
                    self._files[store.variable].append(store.file)
                self._rows[store.file, store.variable].append(store)

    def functions(self, variable: str, file: str) -> tuple[str, ...]:
        """The functions of the file's table of that name; of every file's, if this file has none."""
        places = [file] if (file, variable) in self._rows else self._files.get(variable, [])
        return tuple(name for place in places for name in self._within((place, variable)))

    def _within(self, table: _Table) -> tuple[str, ...]:
        if table not in self._known:
            self._known[table] = ()  # a table may point to itself
            names: dict[str, None] = {}
            for store in self._rows[table]:
                if store.what == "function":
                    names[store.value] = None
                else:
                    names |= dict.fromkeys(self.functions(store.value, store.file))
            self._known[table] = tuple(names)
        return self._known[table]


def _types(stores: list[Store]) -> Mapping[str, tuple[str, ...]]:
    """A QOM type's name -> the functions of its `TypeInfo` and of its ancestors' `TypeInfo`."""
    rows: dict[tuple[str, str, str], dict[str, str]] = defaultdict(dict)
    own: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for store in stores:
        if store.owner.startswith("TypeInfo.") and store.variable:
            key = (store.file, store.variable, store.row)
            if store.what == "function":
                own[key].append(store.value)
            else:
                rows[key][store.owner] = store.value
    by_name = {row["TypeInfo.name"]: key for key, row in rows.items() if "TypeInfo.name" in row}
    found: dict[str, tuple[str, ...]] = {}
    for name in by_name:
        functions: dict[str, None] = {}
        seen: set[str] = set()
        at = name
        while at in by_name and at not in seen:
            seen.add(at)
            functions |= dict.fromkeys(own[by_name[at]])
            at = rows[by_name[at]].get("TypeInfo.parent", "")
        found[name] = tuple(functions)
    return found
