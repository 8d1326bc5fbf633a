"""Expressions of C as libclang has them: what is inside casts, and how far a field is from a pointer."""

from __future__ import annotations

from clang.cindex import Cursor, CursorKind, TypeKind

from qtrace.index.cursors import children, evaluated, field_of, kind_ids, referenced, type_id

__all__ = ["chain", "constant_element", "distance", "strip"]

_TRANSPARENT = kind_ids(
    CursorKind.UNEXPOSED_EXPR,
    CursorKind.PAREN_EXPR,
    CursorKind.CSTYLE_CAST_EXPR,
    CursorKind.COMPOUND_LITERAL_EXPR,
)
_TYPE_REF = CursorKind.TYPE_REF.value
_MEMBER, _SUBSCRIPT = CursorKind.MEMBER_REF_EXPR.value, CursorKind.ARRAY_SUBSCRIPT_EXPR.value
_POINTER, _CONSTANT_ARRAY = TypeKind.POINTER.value, TypeKind.CONSTANTARRAY.value


def strip(cursor: Cursor) -> Cursor:
    """The expression inside implicit casts, parentheses and casts."""
    while cursor._kind_id in _TRANSPARENT:
        below = [child for child in children(cursor) if child._kind_id != _TYPE_REF]
        if len(below) != 1:
            break
        cursor = below[0]
    return cursor


def distance(member: Cursor) -> int:
    """The offset in bytes of the field in an expression like `p->a.b` or `p->a[3]` from the address in `p`.

    For an array with an unknown index, the first element stands for all.
    """
    far = 0
    while True:
        if member._kind_id == _MEMBER:
            if (field := referenced(member)) is not None:
                far += field_of(field).offset
            below = children(member)
            if not below or type_id(below[0]) == _POINTER:
                return far
            member = strip(below[0])
        elif member._kind_id == _SUBSCRIPT and len(parts := children(member)) == 2:
            far += (evaluated(parts[1]) or 0) * max(int(member.type.get_size()), 0)
            member = strip(parts[0])
            if type_id(member) == _POINTER:
                return far
        else:
            return far


def constant_element(cursor: Cursor) -> bool:
    """Whether a subscript names a constant element of an array that is a field: `p->a[3]`."""
    parts = children(cursor)
    if len(parts) != 2:
        return False
    base = strip(parts[0])
    known = base._kind_id in (_MEMBER, _SUBSCRIPT) and type_id(base) == _CONSTANT_ARRAY
    return known and evaluated(parts[1]) is not None


def chain(member: Cursor) -> list[Cursor]:
    """For `p->a->b.c`: the expression itself, and the expression of each pointer in it, `p->a`."""
    found = [member]
    while below := children(member):
        member = strip(below[0])
        if member._kind_id != _MEMBER:
            break
        if type_id(below[0]) == _POINTER:
            found.append(member)
    return found
