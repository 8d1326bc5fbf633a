"""libclang's cursors, read fast: the binding's own iterators make three objects where one does.

An index asks a million nodes; nothing here knows what for.
"""

from __future__ import annotations

import re
from collections.abc import Container
from ctypes import POINTER, byref, c_int, c_longlong, c_uint, c_void_p, cast, pointer
from typing import Any

from clang import cindex
from clang.cindex import Cursor, CursorKind, TranslationUnit, Type, TypeKind

__all__ = [
    "bare",
    "chain",
    "children",
    "chosen",
    "constant_element",
    "distance",
    "evaluated",
    "field_name",
    "included",
    "is_definition",
    "kind_ids",
    "pointer_to_function",
    "position",
    "strip",
    "type_kind",
    "unrooted",
]

_lib: Any = cindex.conf.lib
_visit: Any = cindex.callbacks["cursor_visit"]
_includes: Any = cindex.callbacks["translation_unit_includes"]
_NEXT, _INTO = 1, 2  # CXChildVisitResult
_lib.clang_Cursor_Evaluate.argtypes, _lib.clang_Cursor_Evaluate.restype = [Cursor], c_void_p
_lib.clang_EvalResult_getKind.argtypes, _lib.clang_EvalResult_getKind.restype = [c_void_p], c_int
_lib.clang_EvalResult_getAsLongLong.argtypes = [c_void_p]
_lib.clang_EvalResult_getAsLongLong.restype = c_longlong
_lib.clang_EvalResult_dispose.argtypes = [c_void_p]
_INT = 1  # CXEval_Int

_file, _line, _column, _offset = c_void_p(), c_uint(), c_uint(), c_uint()
_file_at = cast(pointer(_file), POINTER(cindex.c_object_p))


def kind_ids(*kinds: CursorKind) -> frozenset[int]:
    """The numbers that `cursor._kind_id` holds."""
    return frozenset(kind.value for kind in kinds)


_TRANSPARENT = kind_ids(
    CursorKind.UNEXPOSED_EXPR,
    CursorKind.PAREN_EXPR,
    CursorKind.CSTYLE_CAST_EXPR,
    CursorKind.COMPOUND_LITERAL_EXPR,
)
_TYPE_REF = CursorKind.TYPE_REF.value
_FIELD, _MEMBER = CursorKind.FIELD_DECL.value, CursorKind.MEMBER_REF_EXPR.value
_SUBSCRIPT = CursorKind.ARRAY_SUBSCRIPT_EXPR.value
_UNNAMED = re.compile(
    r"(\((?:unnamed|anonymous) (?:\w+ )?at )\S*/"
)  # where the tree lies is no part of a name
_DROPPED = frozenset(("const", "struct", "volatile", "static"))


def _append(child: Cursor, parent: Cursor, found: list[Cursor]) -> int:
    found.append(child)
    return _NEXT


_append_each: Any = _visit(_append)


def children(cursor: Cursor) -> list[Cursor]:
    """The cursors directly below."""
    found: list[Cursor] = []
    _lib.clang_visitChildren(cursor, _append_each, found)
    unit = cursor._tu
    for child in found:
        child._tu = unit
    return found


class _Choice(list[Cursor]):
    """What `_choose` finds, with what it looks for."""

    def __init__(self, wanted: Container[int], closed: Container[int]) -> None:
        super().__init__()
        self.wanted, self.closed = wanted, closed


def _choose(child: Cursor, parent: Cursor, found: _Choice) -> int:
    kind = child._kind_id
    if kind in found.wanted:
        found.append(child)
    return _NEXT if kind in found.closed else _INTO


_choose_each: Any = _visit(_choose)


def chosen(cursor: Cursor, wanted: Container[int], closed: Container[int]) -> list[Cursor]:
    """Everything below of the `wanted` kinds, in the order of the text; not what is below `closed` ones."""
    found = _Choice(wanted, closed)
    _lib.clang_visitChildren(cursor, _choose_each, found)
    unit = cursor._tu
    for child in found:
        child._tu = unit
    return found


def position(cursor: Cursor) -> tuple[int, int, int]:
    """(a number for the file that holds for this unit, line, offset) of where the text stands."""
    where = _lib.clang_getCursorLocation(cursor)
    _lib.clang_getInstantiationLocation(where, _file_at, byref(_line), byref(_column), byref(_offset))
    return _file.value or 0, _line.value, _offset.value


def _note(file: Any, stack: Any, depth: int, found: set[str]) -> None:
    if depth > 0:
        found.add(_lib.clang_getFileName(cindex.File(file)))


_note_each: Any = _includes(_note)


def included(unit: TranslationUnit) -> set[str]:
    """The names of the files that a unit includes, those of its precompiled header apart."""
    found: set[str] = set()
    _lib.clang_getInclusions(unit, _note_each, found)
    return found


def is_definition(cursor: Cursor) -> bool:
    """Whether a declaration is also the definition."""
    return bool(_lib.clang_isCursorDefinition(cursor))


def strip(cursor: Cursor) -> Cursor:
    """Past implicit casts, parentheses and casts."""
    while cursor._kind_id in _TRANSPARENT:
        below = [child for child in children(cursor) if child._kind_id != _TYPE_REF]
        if len(below) != 1:
            break
        cursor = below[0]
    return cursor


def type_kind(cursor: Cursor) -> TypeKind:
    """The kind of an expression's type behind typedefs."""
    return cursor.type.get_canonical().kind


def pointer_to_function(kind: Type) -> bool:
    """Whether a type behind typedefs is a pointer to a function."""
    return bool(kind.get_pointee().kind == TypeKind.FUNCTIONPROTO)


def field_name(field: Cursor | None) -> str:
    """`Struct.field` of a field's declaration, else nothing; a struct inside a struct gives its own place."""
    if field is None or field._kind_id != _FIELD:
        return ""
    return f"{bare(field.semantic_parent.type.get_canonical().spelling)}.{field.spelling}"


def evaluated(cursor: Cursor) -> int | None:
    """The value of a constant integer expression, None for anything else."""
    result = _lib.clang_Cursor_Evaluate(cursor)
    if not result:
        return None
    try:
        if _lib.clang_EvalResult_getKind(result) != _INT:
            return None
        return int(_lib.clang_EvalResult_getAsLongLong(result))
    finally:
        _lib.clang_EvalResult_dispose(result)


def distance(member: Cursor) -> int:
    """How many bytes from what a pointer leads to the field of an expression like `p->a.b` or `p->a[3]` lies.

    Of an array with an index that is not known the first element stands for all.
    """
    far = 0
    while True:
        if member._kind_id == _MEMBER:
            if (field := member.referenced) is not None:
                far += max(int(_lib.clang_Cursor_getOffsetOfField(field)), 0) // 8
            below = children(member)
            if not below or type_kind(below[0]) == TypeKind.POINTER:
                return far
            member = strip(below[0])
        elif member._kind_id == _SUBSCRIPT and len(parts := children(member)) == 2:
            far += (evaluated(parts[1]) or 0) * max(int(member.type.get_size()), 0)
            member = strip(parts[0])
            if type_kind(member) == TypeKind.POINTER:
                return far
        else:
            return far


def constant_element(cursor: Cursor) -> bool:
    """Whether a subscript names one element of an array that is a field: `p->a[3]`."""
    parts = children(cursor)
    if len(parts) != 2:
        return False
    base = strip(parts[0])
    array = base._kind_id in (_MEMBER, _SUBSCRIPT) and type_kind(base) == TypeKind.CONSTANTARRAY
    return array and evaluated(parts[1]) is not None


def chain(member: Cursor) -> list[Cursor]:
    """`p->a->b.c`: the expression itself and the one behind each pointer on the way, `p->a`."""
    found = [member]
    while below := children(member):
        member = strip(below[0])
        if member._kind_id != _MEMBER:
            break
        if type_kind(below[0]) == TypeKind.POINTER:
            found.append(member)
    return found


def unrooted(name: str) -> str:
    """A type's name without the folder in which a type that has no name stands."""
    return _UNNAMED.sub(r"\1", name)


def bare(name: str) -> str:
    """A type's name without qualifiers, `struct` and array bounds; one without a name by its place."""
    name = unrooted(name)
    return " ".join(word for word in name.split("[")[0].split() if word not in _DROPPED)
