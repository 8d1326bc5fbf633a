"""Fast access to libclang's cursors: the binding's own iterators create three objects for each node.

An index visits a million nodes. This module is independent of the facts that the visitors collect.
"""

from __future__ import annotations

import ctypes
import itertools
import re
from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from ctypes import CFUNCTYPE, byref, c_char_p, c_int, c_longlong, c_size_t, c_uint, c_void_p, py_object
from typing import Any, NamedTuple

from clang import cindex
from clang.cindex import (
    Cursor,
    CursorKind,
    LinkageKind,
    SourceLocation,
    SourceRange,
    TranslationUnit,
    Type,
    TypeKind,
)

__all__ = [
    "ARRAYS",
    "Field",
    "Run",
    "anywhere",
    "arguments",
    "bare",
    "canonical",
    "children",
    "chosen",
    "declaration",
    "evaluated",
    "field_name",
    "field_of",
    "fields",
    "included",
    "is_definition",
    "is_static",
    "kind_ids",
    "last_line",
    "names_given",
    "offset_of",
    "outermost",
    "pointer_to_function",
    "position",
    "referenced",
    "size_of",
    "spelling",
    "type_id",
    "type_name",
    "unrooted",
    "usr",
]

_lib: Any = cindex.conf.lib
_includes: Any = cindex.callbacks["translation_unit_includes"]
_STOP, _NEXT, _INTO = 0, 1, 2  # CXChildVisitResult
_INT = 1  # CXEval_Int
_INTERNAL = LinkageKind.INTERNAL.value
_IN_MACRO = 1 << 31  # flag of a location: text made by a macro has no place in a file
_INVALID = frozenset(range(70, 74))  # CXCursor_FirstInvalid to CXCursor_LastInvalid


class _Node(Cursor):  # type: ignore[misc]
    """A cursor of the unit that is being read. Only one unit is read at a time, so cursors carry no unit."""

    _tu: TranslationUnit | None = None


class _Text(ctypes.Structure):
    """A CXString."""

    _fields_ = (("data", c_void_p), ("flags", c_uint))


# The library loaded a second time, so that its functions return plain results, without the binding's
# wrappers.
_plain = ctypes.CDLL(_lib._name)


def _function(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(_plain, f"clang_{name}")
    function.restype, function.argtypes = result, arguments
    return function


_Visit = CFUNCTYPE(c_int, _Node, _Node, py_object)
_FieldVisit = CFUNCTYPE(c_int, _Node, py_object)
_visit_children = _function("visitChildren", c_uint, Cursor, _Visit, py_object)
_visit_fields = _function("Type_visitFields", c_uint, Type, _FieldVisit, py_object)
_get_string, _dispose = _function("getCString", c_char_p, _Text), _function("disposeString", None, _Text)
_get_spelling = _function("getCursorSpelling", _Text, Cursor)
_get_usr = _function("getCursorUSR", _Text, Cursor)
_get_type_spelling = _function("getTypeSpelling", _Text, Type)
_get_referenced = _function("getCursorReferenced", _Node, Cursor)
_get_parent = _function("getCursorSemanticParent", _Node, Cursor)
_get_type = _function("getCursorType", Type, Cursor)
_get_canonical = _function("getCanonicalType", Type, Type)
_get_pointee = _function("getPointeeType", Type, Type)
_get_number = _function("Cursor_getNumArguments", c_int, Cursor)
_get_argument = _function("Cursor_getArgument", _Node, Cursor, c_uint)
_get_offset = _function("Cursor_getOffsetOfField", c_longlong, Cursor)
_get_size = _function("Type_getSizeOf", c_longlong, Type)
_get_linkage = _function("getCursorLinkage", c_int, Cursor)
_get_extent = _function("getCursorExtent", SourceRange, Cursor)
_get_end = _function("getRangeEnd", SourceLocation, SourceRange)
_is_definition = _function("isCursorDefinition", c_uint, Cursor)
_get_location = _function("getCursorLocation", SourceLocation, Cursor)
_get_place = _function("getInstantiationLocation", None, SourceLocation, *(c_void_p,) * 4)
_get_file_name = _function("getFileName", _Text, c_void_p)
_get_contents = _function("getFileContents", c_void_p, TranslationUnit, c_void_p, c_void_p)
_evaluate = _function("Cursor_Evaluate", c_void_p, Cursor)
_result_kind = _function("EvalResult_getKind", c_int, c_void_p)
_result_number = _function("EvalResult_getAsLongLong", c_longlong, c_void_p)
_result_dispose = _function("EvalResult_dispose", None, c_void_p)

_file, _line, _column, _offset, _size = c_void_p(), c_uint(), c_uint(), c_uint(), c_size_t()
_place_at = tuple(byref(item) for item in (_file, _line, _column, _offset))


def _text(held: _Text) -> str:
    text = _get_string(held)
    _dispose(held)
    return text.decode() if text else ""


def kind_ids(*kinds: CursorKind) -> frozenset[int]:
    """The numbers of these kinds, as in `cursor._kind_id`."""
    return frozenset(kind.value for kind in kinds)


_FIELD = CursorKind.FIELD_DECL.value
_UNNAMED = re.compile(
    r"(\((?:unnamed|anonymous) (?:\w+ )?at )\S*/"
)  # a type's name must not depend on the tree's folder
_DROPPED = frozenset(("const", "struct", "volatile", "static"))
ARRAYS = frozenset((TypeKind.CONSTANTARRAY.value, TypeKind.INCOMPLETEARRAY.value))
_FUNCTION_TYPE = TypeKind.FUNCTIONPROTO.value


def _append(child: Cursor, parent: Cursor, found: list[Cursor]) -> int:
    found.append(child)
    return _NEXT


_append_each = _Visit(_append)


def children(cursor: Cursor) -> list[Cursor]:
    """The children of a cursor."""
    found: list[Cursor] = []
    _visit_children(cursor, _append_each, found)
    return found


class _Choice(list[Cursor]):
    """The result list of `_choose`, together with the kinds that it searches for."""

    def __init__(self, wanted: Container[int], closed: Container[int]) -> None:
        super().__init__()
        self.wanted, self.closed = wanted, closed


def _choose(child: Cursor, parent: Cursor, found: _Choice) -> int:
    kind = child._kind_id
    if kind in found.wanted:
        found.append(child)
    return _NEXT if kind in found.closed else _INTO


_choose_each = _Visit(_choose)


def chosen(cursor: Cursor, wanted: Container[int], closed: Container[int]) -> list[Cursor]:
    """All descendants of the `wanted` kinds, in the order of the text, without descendants of `closed`
    kinds."""
    found = _Choice(wanted, closed)
    _visit_children(cursor, _choose_each, found)
    return found


def position(cursor: Cursor) -> tuple[int, int, int]:
    """(number of the file within this unit, line, offset in bytes) of the cursor's text."""
    _get_place(_get_location(cursor), *_place_at)
    return _file.value or 0, _line.value, _offset.value


class _Wanted:
    """The kind that `_look` searches for."""

    def __init__(self, kind: int) -> None:
        self.kind, self.found = kind, False


def _look(child: Cursor, parent: Cursor, wanted: _Wanted) -> int:
    if child._kind_id == wanted.kind:
        wanted.found = True
        return _STOP
    return _INTO


_look_each = _Visit(_look)


def anywhere(cursor: Cursor, kind: int) -> bool:
    """Whether a descendant is of this kind."""
    wanted = _Wanted(kind)
    _visit_children(cursor, _look_each, wanted)
    return wanted.found


class Run(NamedTuple):
    """Declarations that follow one another in a file: their offsets in bytes.

    `number` is another for each file, flags and offsets.
    """

    number: int
    file: str
    cursors: list[Cursor]
    offsets: tuple[int, ...]


class _Met(NamedTuple):
    """A run as it was first met: where each declaration is, by libclang's numbers, and its offset."""

    number: int
    places: tuple[int, ...]
    offsets: tuple[int, ...]


# By flags, file and the first declaration's offset. To ask for a place takes longer than to compare it. A
# header that is first included in the middle of another makes two runs of one.
_met: dict[tuple[str, str, int], list[_Met]] = defaultdict(list)
_numbers = itertools.count()


def outermost(unit: TranslationUnit, flags: str) -> Iterator[Run]:
    """The declarations of a unit in order; `flags` are the name of those with which it was parsed.

    Until the iteration ends, all functions of this module refer to this unit.
    """
    _Node._tu = unit
    try:
        yield from _runs(unit, flags)
    finally:
        _Node._tu = None
        _fields.clear()
        names_given.clear()


def _runs(unit: TranslationUnit, flags: str) -> Iterator[Run]:
    found = children(unit.cursor)
    places = [_get_location(cursor).int_data for cursor in found]
    names: dict[int, str] = {0: ""}
    start = 0
    while start < len(found):
        _get_place(_get_location(found[start]), *_place_at)
        number = _file.value or 0
        if number not in names:
            names[number] = _text(_get_file_name(_file))
        before = _met[flags, names[number], _offset.value]
        run = next((met for met in before if met.places == _relative(places, start, len(met.places))), None)
        if run is None:
            offsets = _extent(unit, found, places, start)
            run = _Met(next(_numbers), _relative(places, start, len(offsets)), offsets)
            before.append(run)
        stop = start + len(run.offsets)
        yield Run(run.number, names[number], found[start:stop], run.offsets)
        start = stop


def _relative(places: Sequence[int], start: int, length: int) -> tuple[int, ...]:
    """Places as distances from the first in the file's text and the first in text made by macros."""
    some = places[start : start + length]
    text = next((place for place in some if place < _IN_MACRO), 0)
    made = next((place for place in some if place >= _IN_MACRO), 0)
    return tuple([place - text if place < _IN_MACRO else place - made + _IN_MACRO for place in some])


def _extent(
    unit: TranslationUnit, found: Sequence[Cursor], places: Sequence[int], start: int
) -> tuple[int, ...]:
    """The offsets of the declarations in the run that begins at `start`."""
    number, first, end = -1, 0, 0
    offsets: list[int] = []
    for item in range(start, len(found)):
        place = places[item]
        # Within a file, the difference of the locations is the difference of the offsets.
        if first <= place < end:
            offsets.append(place - first)
            continue
        _get_place(_get_location(found[item]), *_place_at)
        if offsets and (_file.value or 0) != number:
            break
        number = _file.value or 0
        offsets.append(_offset.value)
        if place < _IN_MACRO and number:
            _get_contents(unit, _file, byref(_size))
            first = place - _offset.value
            end = first + _size.value
    return tuple(offsets)


def spelling(cursor: Cursor) -> str:
    """The cursor's name as in the text."""
    return _text(_get_spelling(cursor))


def usr(cursor: Cursor) -> str:
    """clang's USR: a name that distinguishes a declaration from all others."""
    return _text(_get_usr(cursor))


def last_line(cursor: Cursor) -> int:
    """The last line of the cursor's text."""
    _get_place(_get_end(_get_extent(cursor)), *_place_at)
    return _line.value


def is_static(cursor: Cursor) -> bool:
    """Whether a function is static."""
    return bool(_get_linkage(cursor) == _INTERNAL)


def type_name(cursor: Cursor) -> str:
    """The type of an expression or a declaration as written in the source."""
    return _text(_get_type_spelling(_get_type(cursor)))


def size_of(cursor: Cursor) -> int:
    """The size of the cursor's type in bytes, 0 where it is unknown."""
    return max(int(_get_size(_get_type(cursor))), 0)


def offset_of(field: Cursor) -> int:
    """The offset of a field in its struct or union in bits; negative if unknown."""
    return int(_get_offset(field))


def declaration(cursor: Cursor) -> int:
    """A number that identifies a declaration within this unit."""
    return cursor.data[0] or 0


def referenced(cursor: Cursor) -> Cursor | None:
    """The declaration that an expression names."""
    found: Cursor = _get_referenced(cursor)
    return None if found._kind_id in _INVALID else found


def arguments(cursor: Cursor) -> list[Cursor]:
    """The arguments of a call, or the parameters of a function."""
    return [_get_argument(cursor, number) for number in range(_get_number(cursor))]


def _note(file: Any, stack: Any, depth: int, found: set[str]) -> None:
    if depth > 0:
        found.add(_text(_get_file_name(file)))


_note_each: Any = _includes(_note)


def included(unit: TranslationUnit) -> set[str]:
    """The names of the files that a unit includes, without those of its precompiled header."""
    found: set[str] = set()
    _lib.clang_getInclusions(unit, _note_each, found)
    return found


def is_definition(cursor: Cursor) -> bool:
    """Whether a declaration is also the definition."""
    return bool(_is_definition(cursor))


def canonical(cursor: Cursor) -> Type:
    """The type of an expression or a declaration with typedefs resolved."""
    kind = _get_canonical(_get_type(cursor))
    kind._tu = cursor._tu
    return kind


def type_id(cursor: Cursor) -> int:
    """The number of that type's kind."""
    kind: int = _get_canonical(_get_type(cursor))._kind_id
    return kind


def pointer_to_function(kind: Type) -> bool:
    """Whether a type, with typedefs resolved, is a pointer to a function."""
    return bool(_get_pointee(kind)._kind_id == _FUNCTION_TYPE)


def _field(child: Cursor, found: list[Cursor]) -> int:
    found.append(child)
    return _NEXT


_field_each = _FieldVisit(_field)


def fields(kind: Type) -> list[Cursor]:
    """The fields of a struct or union."""
    found: list[Cursor] = []
    _visit_fields(kind, _field_each, found)
    return found


class Field(NamedTuple):
    """A field as `Struct.field`, and its offset from the struct's beginning in bytes."""

    name: str
    offset: int


# Results for the current unit, by `declaration`: a field is used more often than declared.
_fields: dict[int, Field] = {}
names_given: dict[int, str] = {}


def field_of(field: Cursor) -> Field:
    """The `Field` of a field's declaration; a nested struct's field has its offset in that struct."""
    number = declaration(field)
    if (known := _fields.get(number)) is None:
        owner = _text(_get_type_spelling(_get_canonical(_get_type(_get_parent(field)))))
        known = Field(f"{bare(owner)}.{spelling(field)}", max(_get_offset(field), 0) // 8)
        _fields[number] = known
    return known


def field_name(field: Cursor | None) -> str:
    """`Struct.field` of a field's declaration, else empty."""
    return field_of(field).name if field is not None and field._kind_id == _FIELD else ""


def evaluated(cursor: Cursor) -> int | None:
    """The value of a constant integer expression, None for anything else."""
    result = _evaluate(cursor)
    if not result:
        return None
    try:
        return int(_result_number(result)) if _result_kind(result) == _INT else None
    finally:
        _result_dispose(result)


def unrooted(name: str) -> str:
    """A type's name; the file in the name of an unnamed type loses its folder."""
    return _UNNAMED.sub(r"\1", name) if "(" in name else name


def bare(name: str) -> str:
    """A type's name without qualifiers, `struct` and array bounds; an unnamed type has its place for a
    name."""
    name = unrooted(name)
    return " ".join(word for word in name.split("[")[0].split() if word not in _DROPPED)
