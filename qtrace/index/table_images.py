"""The memory image of a static table: the content that a compiled binary has at each offset.

Bytes without a cell are zero. A part that cannot be computed is a cell `unknown`, never a guess.
"""

from __future__ import annotations

from collections.abc import Iterator

from clang.cindex import Cursor, CursorKind, Type, TypeKind

from qtrace.index.body import Unit, usr_of
from qtrace.index.cursors import (
    ARRAYS,
    canonical,
    children,
    evaluated,
    fields,
    referenced,
    spelling,
)
from qtrace.index.expressions import strip
from qtrace.index.facts import Cell

__all__ = ["image"]

_LIST, _UNEXPOSED = CursorKind.INIT_LIST_EXPR.value, CursorKind.UNEXPOSED_EXPR.value
_MEMBER_REF, _NAME = CursorKind.MEMBER_REF.value, CursorKind.DECL_REF_EXPR.value
_STRING, _UNARY = CursorKind.STRING_LITERAL.value, CursorKind.UNARY_OPERATOR.value
_FUNCTION, _VARIABLE = CursorKind.FUNCTION_DECL.value, CursorKind.VAR_DECL.value
_INTEGERS = frozenset((TypeKind.BOOL.value, TypeKind.ENUM.value, *range(TypeKind.CHAR_U.value, 21)))
_RECORD, _POINTER, _VOID = TypeKind.RECORD.value, TypeKind.POINTER.value, TypeKind.VOID.value
_WIDEST_RANGE = 64  # entries: of a wider range, only the first and the last are listed


def image(unit: Unit, init: Cursor, variable: str, place: str) -> list[Cell]:
    """The cells of a table, the first with its total size (`whole`); also cells of unnamed tables in it.

    The unnamed tables are called `variable+offset`. Empty for a table that cannot be understood.
    """
    try:
        cells = _Image(unit, variable, place).whole(init, variable)
        return list({(cell.variable, cell.offset, cell.what == "whole"): cell for cell in cells}.values())
    except _NotUnderstood:
        return []


class _NotUnderstood(Exception):
    """Missing braces, or a designator of an unknown kind."""


class _Image:
    def __init__(self, unit: Unit, variable: str, place: str) -> None:
        self.unit, self.place = unit, place
        self.others: list[tuple[Cursor, str]] = []

    def whole(self, init: Cursor, name: str) -> Iterator[Cell]:
        kind = canonical(init)
        yield Cell(name, self.place, 0, max(kind.get_size(), 0), "whole", "")
        yield from self.listed(init, kind, name, 0)
        while self.others:
            yield from self.whole(*self.others.pop())

    def listed(self, init: Cursor, kind: Type, name: str, base: int) -> Iterator[Cell]:
        array = kind._kind_id in ARRAYS
        members = [] if array else fields(kind)
        number = 0
        hole = 0, 0
        for item in children(init):
            parts = children(item) if item._kind_id == _UNEXPOSED else []
            if len(parts) >= 2 and canonical(item)._kind_id == _VOID:
                number, places, hole = _designated(kind, members, parts[:-1])
                value = parts[-1]
                if hole[1]:
                    yield Cell(name, self.place, base + hole[0], hole[1], "unknown", "")
            else:
                places, value = [_member(kind, members, number)], item
            number += 1
            for offset, inner in places:
                yield from self.value(value, inner, name, base + offset)

    def value(self, cursor: Cursor, kind: Type, name: str, at: int) -> Iterator[Cell]:
        inner = strip(cursor)
        size = max(kind.get_size(), 0)
        if kind._kind_id in ARRAYS or kind._kind_id == _RECORD:
            if inner._kind_id == _LIST:
                yield from self.listed(inner, kind, name, at)
            elif kind._kind_id in ARRAYS and inner._kind_id == _STRING:
                yield Cell(name, self.place, at, size, "unknown", "")
            else:
                raise _NotUnderstood
        elif kind._kind_id == _POINTER:
            yield from self.pointer(cursor, inner, name, at)
        else:
            number = evaluated(inner if inner._kind_id == _LIST else cursor)
            if number is None or kind._kind_id not in _INTEGERS:
                yield Cell(name, self.place, at, size, "unknown", "")
            elif number:
                yield Cell(name, self.place, at, size, "number", str(number % (1 << 8 * size)))

    def pointer(self, cursor: Cursor, inner: Cursor, name: str, at: int) -> Iterator[Cell]:
        if inner._kind_id == _UNARY and len(below := children(inner)) == 1:
            inner = strip(below[0])
        target = referenced(inner) if inner._kind_id == _NAME else None
        what, value = "unknown", ""
        if inner._kind_id == _STRING:
            what, value = "string", spelling(inner)[1:-1]
        elif inner._kind_id == _LIST:
            what, value = "variable", f"{name}+{at}"
            self.others.append((inner, value))
        elif target is not None and target._kind_id == _FUNCTION:
            what, value = "function", usr_of(self.unit, target)
        elif target is not None and target._kind_id == _VARIABLE:
            what, value = "variable", spelling(target)
        elif evaluated(inner) == 0:
            return
        yield Cell(name, self.place, at, 8, what, value)


def _member(kind: Type, members: list[Cursor], number: int) -> tuple[int, Type]:
    if kind._kind_id in ARRAYS:
        element = kind.get_array_element_type().get_canonical()
        return number * element.get_size(), element
    if kind._kind_id == _RECORD and number < len(members):
        field = members[number]
        bits = field.get_field_offsetof()
        if bits >= 0 and not field.is_bitfield():
            return bits // 8, canonical(field)
    raise _NotUnderstood


def _designated(
    kind: Type, members: list[Cursor], parts: list[Cursor]
) -> tuple[int, list[tuple[int, Type]], tuple[int, int]]:
    """The number of the last entry that a designator such as `[3].field` names, the places (offset, type) of
    all of them, and (offset, size) of the omitted middle of a wide range."""
    number, places, inside, hole = -1, [(0, kind)], kind, (0, 0)
    parts = list(parts)
    while parts:
        part = parts.pop(0)
        if part._kind_id == _MEMBER_REF:
            named = spelling(part)
            bits = inside.get_offset(named)
            target = referenced(part)
            if bits < 0 or target is None or target.is_bitfield():
                raise _NotUnderstood
            entry = next((n for n, field in enumerate(members) if spelling(field) == named), 0)
            inside = canonical(target)
            steps = [bits // 8]
        else:
            first = last = evaluated(part)
            if inside._kind_id not in ARRAYS or first is None or last is None:
                raise _NotUnderstood
            inside = inside.get_array_element_type().get_canonical()
            if parts and parts[0]._kind_id != _MEMBER_REF and inside._kind_id not in ARRAYS:
                last = evaluated(parts.pop(0))
            if last is None or last < first:
                raise _NotUnderstood
            size, entries = inside.get_size(), [*range(first, last + 1)]
            if len(entries) > _WIDEST_RANGE:
                entries = [*entries[: _WIDEST_RANGE // 2], last]
                hole = (entries[-2] + 1) * size, (last - entries[-2] - 1) * size
            steps = [n * size for n in entries]
            entry = last
        number = entry if number < 0 else number
        places = [(at + step, inside) for at, _ in places for step in steps]
    return number, places, hole
