"""The differences between two trees: `qtrace map --diff A B`. Catalogues in, JSON-ready data out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["difference"]

Entry = Mapping[str, Any]


def difference(before: Entry, after: Entry) -> dict[str, Any]:
    """Back ends and NICs that were added, removed or changed, from two answers of `map_tree`.

    A change is one field of one table: `before` or `after` is null for an added or removed callback; both are
    {"function", "file"} if the function has another name or is in another file.
    """
    return {
        "from": before["qemu"],
        "to": after["qemu"],
        **{kind: _entries(before[kind], after[kind]) for kind in ("backends", "nics")},
    }


def _entries(before: Sequence[Entry], after: Sequence[Entry]) -> dict[str, Any]:
    old, new = ({entry["name"]: entry for entry in entries} for entries in (before, after))
    changed = [
        {"name": name, **change}
        for name in old
        if name in new
        for change in (*_types(old[name], new[name]), *_callbacks(old[name], new[name]))
    ]
    return {
        "added": [name for name in new if name not in old],
        "removed": [name for name in old if name not in new],
        "changed": changed,
    }


def _types(old: Entry, new: Entry) -> list[dict[str, Any]]:
    """The -device types that a NIC gained and lost."""
    ways = ((None, new, old), (old, None, new))
    found = []
    for gone, come, other in ways:
        for kind in (come or gone or {}).get("types", ()):
            if kind not in other.get("types", ()):
                found.append({"what": f"type {kind}", "before": kind if gone else None})
                found[-1]["after"] = kind if come else None
    return found


def _callbacks(old: Entry, new: Entry) -> list[dict[str, Any]]:
    found = []
    first, second = _places(old), _places(new)
    for key in dict.fromkeys((*first, *second)):
        before, after = first.get(key), second.get(key)
        if before != after:
            found.append({"what": ".".join(key), "before": before, "after": after})
    return found


def _places(entry: Entry) -> dict[tuple[str, str], dict[str, str]]:
    """(table, field) -> its function. The only table of an entry keeps its key if its variable is renamed."""
    tables = entry["tables"]
    return {
        ("NetClientInfo" if len(tables) == 1 else table["variable"], field): {
            "function": place["function"],
            "file": place["file"],
        }
        for table in tables
        for field, place in table["callbacks"].items()
    }
