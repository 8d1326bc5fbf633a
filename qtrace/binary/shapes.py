"""The tables of a source index as shapes to look for, and what their callbacks are known to call."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence

from qtrace.binary.tables import Shape
from qtrace.errors import StoreError
from qtrace.store.index import FunctionRow, Index

__all__ = ["callees_elsewhere", "may_call", "shapes"]

# libslirp's public callbacks (libslirp.h, version 4), which are not in QEMU's own tree.
_LIBRARY_STRUCTS: Mapping[str, Sequence[str]] = {
    "SlirpCb": (
        *("send_packet", "guest_error", "clock_get_ns", "timer_new", "timer_free", "timer_mod"),
        *("register_poll_fd", "unregister_poll_fd", "notify", "init_completed", "timer_new_opaque"),
    )
}
_ENUMS = {"NetClientInfo": "NetClientDriver"}

Rows = list[tuple[str, str, str, str]]  # field, what, value, row


def shapes(index: Index, struct: str) -> list[tuple[Shape, dict[int, FunctionRow]]]:
    """Every static table of `struct` with at least two callbacks, and its functions by offset."""
    fields, size = _layout(index, struct)
    if not fields:
        return []
    enum = index.enum(_ENUMS[struct]) if struct in _ENUMS else {}
    tables: dict[tuple[str, str], Rows] = {}
    for variable, row, field, what, value, file, _ in index.tables(struct):
        if not row:
            tables.setdefault((variable, file), []).append((field, what, value, row))
    found = []
    for (variable, file), rows in tables.items():
        functions: dict[int, FunctionRow] = {}
        constants: dict[int, tuple[int, int]] = {}
        sizes: dict[int, tuple[int, int]] = {}
        known = True
        for field, what, value, _ in rows:
            if field not in fields:
                continue
            offset, length, _type = fields[field]
            number = _constant(index, what, value, enum)
            if what == "function":
                functions[offset] = index.function_by_id(int(value))
            elif number is not None:
                (sizes if what == "sizeof" else constants)[offset] = (length, number)
            elif what in ("enum", "sizeof"):
                known = False  # a constant that we cannot compute would make the match inexact
        given = {fields[field][0] for field, _, _, _ in rows if field in fields}
        empty = [
            at for at, length, kind in fields.values() if at not in given and length == 8 and "*" in kind
        ]
        if known and len(functions) >= 2:
            names = {offset: function.name for offset, function in functions.items()}
            shape = Shape(struct, variable, file, size, names, constants, sizes, tuple(empty))
            found.append((shape, functions))
    return found


def callees_elsewhere(index: Index, function: FunctionRow) -> set[str]:
    """Global functions of other files that `function` itself calls: the compiler cannot inline them."""
    found = set()
    for edge in index.callees(function.id):
        callee = index.function_by_id(edge.callee)
        if (
            edge.kind == "direct"
            and not callee.static
            and callee.file.endswith(".c")
            and callee.file != function.file
            and not index.library_of(callee.file)
        ):
            found.add(callee.name)
    return found


def may_call(index: Index, functions: Iterable[FunctionRow]) -> set[str]:
    """Everything that the compiled bodies of `functions` can call, whatever was inlined into them.

    Static functions, those of headers and those of the same file may be inlined and are looked into.
    """
    found: set[str] = set()
    seen: set[int] = set()
    todo = list(functions)
    while todo:
        function = todo.pop()
        if function.id in seen:
            continue
        seen.add(function.id)
        for edge in index.callees(function.id):
            callee = index.function_by_id(edge.callee)
            found.add(callee.name)
            if callee.static or callee.file in (function.file, "") or callee.file.endswith(".h"):
                todo.append(callee)
    return found


def _layout(index: Index, struct: str) -> tuple[dict[str, tuple[int, int, str]], int]:
    with contextlib.suppress(StoreError):
        return index.struct(struct)
    names = _LIBRARY_STRUCTS.get(struct, ())
    return {name: (8 * number, 8, "(*)") for number, name in enumerate(names)}, 8 * len(names)


def _constant(index: Index, what: str, value: str, enum: Mapping[str, int]) -> int | None:
    if what == "enum":
        return enum.get(value)
    if what == "number":
        with contextlib.suppress(ValueError):
            return int(value, 0)
    if what == "sizeof":
        with contextlib.suppress(StoreError):
            return index.struct(value)[1]
    return None
