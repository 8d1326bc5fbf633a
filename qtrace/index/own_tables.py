"""Calls through an object that the same file made with a table of its own.

A file has `s->nic = qemu_new_nic(&net_x_info, …)`, and one of its functions has `nc = qemu_get_queue(s->nic);
nc->info->f(nc)`. Of all candidates for `NetClientInfo.f`, that table's is then the right one. The types prove
it: the field has the type that the maker returns, and the object read from it points to the table's struct.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from qtrace.index.facts import Function, Pass, Store, Struct

__all__ = ["OwnTables"]

_Place = tuple[str, str, int]  # (`Struct.field`, file, line) of an initialiser


class OwnTables:
    """The initialisers to which a function's calls through a struct's fields are limited."""

    def __init__(
        self,
        functions: Mapping[str, Function],
        structs: Iterable[Struct],
        passes: Iterable[Pass],
        stores: Iterable[Store],
    ) -> None:
        types: dict[str, str] = {}
        points: dict[str, set[str]] = defaultdict(set)
        for struct in structs:
            for field, _, _, kind in struct.fields:
                types[f"{struct.name}.{field}"] = kind
                points[struct.name].add(_pointee(kind))
        rows: dict[tuple[str, str], set[_Place]] = defaultdict(set)
        for store in stores:
            if store.variable:
                rows[store.file, store.variable].add((store.owner, store.file, store.line))
        passes = list(passes)
        made: dict[tuple[str, str], set[_Place]] = defaultdict(set)  # (file, type) -> rows of its tables
        for item in passes:
            if item.what == "variable" and (kind := _returned(functions.get(item.callee))):
                made[item.file, kind] |= rows.get((item.file, item.value), set())
        self._own: dict[tuple[str, str], set[_Place]] = defaultdict(set)
        for item in passes:
            tables = (
                made.get((item.file, _pointee(types.get(item.value, "")))) if item.what == "field" else None
            )
            for struct_name in points[_returned(functions.get(item.callee))] if tables else ():
                self._own[item.caller, struct_name] |= tables or set()

    def allows(self, caller: str, owner: str) -> set[_Place]:
        """The places to which a call of `owner` in `caller` is limited; empty without a limit."""
        own = self._own.get((caller, owner.rpartition(".")[0]), set())
        return {place for place in own if place[0] == owner}


def _pointee(kind: str) -> str:
    """`const NICState *` -> `NICState`; empty for a type that is not a pointer, and for `void *`."""
    name = kind.removeprefix("const ").removeprefix("struct ")
    return name.removesuffix("*").strip() if name.endswith("*") and not name.startswith("void") else ""


def _returned(function: Function | None) -> str:
    return _pointee(function.signature.partition("(")[0].strip()) if function else ""
