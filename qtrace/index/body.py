"""Reads one function's body: its calls, the arguments that it passes on, the values that it stores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from clang.cindex import Cursor, CursorKind, LinkageKind, StorageClass, Type, TypeKind

from qtrace.index.cursors import (
    ARRAYS,
    arguments,
    bare,
    canonical,
    children,
    chosen,
    declaration,
    field_name,
    fields,
    is_static,
    kind_ids,
    names_given,
    pointer_to_function,
    position,
    referenced,
    spelling,
    type_id,
    usr,
)
from qtrace.index.expressions import constant_element, distance, strip
from qtrace.index.facts import Call, Facts, Pass, Store, Use
from qtrace.index.split_functions import first_test

__all__ = ["Body", "initialiser", "usr_of", "values"]

_CALL, _BINARY = CursorKind.CALL_EXPR.value, CursorKind.BINARY_OPERATOR.value
_VARIABLE, _LIST = CursorKind.VAR_DECL.value, CursorKind.INIT_LIST_EXPR.value
_FUNCTION, _PARAMETER = CursorKind.FUNCTION_DECL.value, CursorKind.PARM_DECL.value
_FIELD, _CONSTANT = CursorKind.FIELD_DECL.value, CursorKind.ENUM_CONSTANT_DECL.value
_NAME, _MEMBER, _UNARY = (
    CursorKind.DECL_REF_EXPR.value,
    CursorKind.MEMBER_REF_EXPR.value,
    CursorKind.UNARY_OPERATOR.value,
)
_SUBSCRIPT, _DESIGNATOR = CursorKind.ARRAY_SUBSCRIPT_EXPR.value, CursorKind.MEMBER_REF.value
_INTEGER, _STRING = CursorKind.INTEGER_LITERAL.value, CursorKind.STRING_LITERAL.value
_SIZEOF, _UNEXPOSED = CursorKind.CXX_UNARY_EXPR.value, CursorKind.UNEXPOSED_EXPR.value
_THROUGH = kind_ids(
    CursorKind.UNEXPOSED_EXPR,
    CursorKind.PAREN_EXPR,
    CursorKind.CSTYLE_CAST_EXPR,
    CursorKind.CONDITIONAL_OPERATOR,
)
_COMPUTED = _THROUGH | {_UNARY, _SUBSCRIPT}
_LOOPS = kind_ids(CursorKind.FOR_STMT, CursorKind.WHILE_STMT, CursorKind.DO_STMT)
_READ = frozenset((_CALL, _BINARY, _VARIABLE, _LIST, _STRING, _MEMBER, _SUBSCRIPT)) | _LOOPS
_CLOSED = frozenset((_LIST, _NAME, CursorKind.TYPE_REF.value, _INTEGER, _STRING))
_EXPORTED = "c:@"
_POINTER = TypeKind.POINTER.value
_DEEPEST = 4  # tables inside tables
_FAR = 64  # bytes: smaller offsets occur in too many structs to identify one


class Unit(Protocol):
    """The translation unit that is being read, as seen by the code that reads function bodies."""

    facts: Facts

    def place(self, number: int, cursor: Cursor) -> str:
        """The file that a cursor stands in, relative to the tree."""


class Body:
    """Walks one function's body; `usr` is the function, `place` its file."""

    def __init__(self, unit: Unit, usr: str, place: str, parameters: dict[str, int]) -> None:
        self.unit = unit
        self.facts = unit.facts
        self.usr = usr
        self.place = place
        self.parameters = parameters
        self.loops: list[tuple[int, int]] = []  # first and last line of each loop met so far
        self.tables: list[tuple[str, Cursor]] = []  # (name, initialiser) of the function's static variables
        self.offsets: set[int] = set()
        self.counted = False  # whether the next field has been noted already

    def whole(self, function: Cursor) -> None:
        """Record all facts of a function."""
        self.read(function)
        if (tested := first_test(function)) is not None:
            what = "rarely" if tested.rare else "splits"
            self.facts.uses.append(Use(self.usr, what, _numbers(tested.fields)))
        if self.offsets:
            self.facts.uses.append(Use(self.usr, "fields", _numbers(self.offsets)))

    def read(self, cursor: Cursor) -> None:
        """Record all facts below `cursor`."""
        for child in chosen(cursor, _READ, _CLOSED):
            _READERS[child._kind_id](self, child)

    def call(self, cursor: Cursor) -> None:
        target = referenced(cursor)
        found = target._kind_id if target is not None else 0
        callee, kind, name = "", "unknown", ""
        if target is None:
            pass
        elif found == _FUNCTION and (known := names_given.get(declaration(target))):
            kind, name = "direct", known
        elif found == _FUNCTION:
            called = spelling(target)
            if called.startswith(("trace_", "__builtin_")):
                if called.startswith("trace_"):
                    self.facts.uses.append(Use(self.usr, "trace", called[6:]))
                return
            kind, name = "direct", usr_of(self.unit, target)
        elif found == _FIELD:
            kind, name = "field", field_name(target)
        elif found == _PARAMETER:
            kind, name = "param", str(self.parameter(target))
        elif found == _VARIABLE:
            kind, name = "variable", self.local(target) or spelling(target)
        if kind == "unknown" or not name:
            kind, name = self.computed(cursor)
        callee = name if kind == "direct" else ""
        line = position(cursor)[1]
        loop = any(first <= line <= last for first, last in self.loops)
        self.facts.calls.append(Call(self.usr, kind, name, self.place, line, loop))
        if callee:
            for number, argument in enumerate(arguments(cursor)):
                for what, text in self.argument(argument):
                    self.facts.passes.append(Pass(self.usr, callee, number, what, text, self.place, line))

    def looped(self, cursor: Cursor) -> None:
        extent = cursor.extent
        # A macro's loop around nothing (`do { … } while (0)`) is all on the line where it is used.
        if extent.start.line < extent.end.line:
            self.loops.append((extent.start.line, extent.end.line))

    def string(self, cursor: Cursor) -> None:
        self.facts.uses.append(Use(self.usr, "string", spelling(cursor)[1:-1]))

    def member(self, cursor: Cursor) -> None:
        """Record the offset of a field from the object that a pointer points to: the instruction has it
        too."""
        if self.counted:
            self.counted = False  # recorded with its element
        elif (far := distance(cursor)) >= _FAR:
            self.offsets.add(far)

    def element(self, cursor: Cursor) -> None:
        """As `member`, for an element of an array with a constant index: the array's cursor comes next."""
        if constant_element(cursor):
            self.counted = True
            if (far := distance(cursor)) >= _FAR:
                self.offsets.add(far)

    def computed(self, cursor: Cursor) -> tuple[str, str]:
        """`table[i][j](…)`: the array's name, or the field that is an array; `(function)(…)`."""
        callee = next(iter(children(cursor)), None)
        subscripts = 0
        while callee is not None and callee._kind_id in _COMPUTED:
            subscripts += callee._kind_id == _SUBSCRIPT
            callee = next(iter(children(callee)), None)
        target = referenced(callee) if callee is not None else None
        if callee is None or target is None:
            return "unknown", ""
        if target._kind_id == _FUNCTION:
            return "direct", usr_of(self.unit, target)
        if subscripts and callee._kind_id == _NAME:
            return "variable", self.inner_table(target) or spelling(callee)
        if subscripts and callee._kind_id == _MEMBER:
            return "field", field_name(target)
        return "unknown", ""

    def inner_table(self, cursor: Cursor) -> str:
        """A unique name for a function's own array of pointers to functions, else empty."""
        if cursor._kind_id != _VARIABLE or cursor.linkage != LinkageKind.NO_LINKAGE:
            return ""
        element = canonical(cursor)
        while element._kind_id in ARRAYS:
            element = element.get_array_element_type().get_canonical()
        return f"{self.usr} {spelling(cursor)}" if pointer_to_function(element) else ""

    def own_parameter(self, cursor: Cursor) -> str:
        """The number of the parameter that an expression names, empty if it names none."""
        target = referenced(cursor) if cursor._kind_id == _NAME else None
        if target is None or target._kind_id != _PARAMETER:
            return ""
        number = self.parameter(target)
        return str(number) if number >= 0 else ""

    def parameter(self, target: Cursor) -> int:
        return self.parameters.get(usr(target) or spelling(target), -1)

    def argument(self, cursor: Cursor) -> Iterator[tuple[str, str]]:
        inner = strip(cursor)
        if inner._kind_id == _INTEGER:
            return
        if inner._kind_id == _STRING:
            yield "string", spelling(inner)[1:-1]
            return
        if number := self.own_parameter(inner):
            yield "param", number
            return
        if inner._kind_id == _UNARY and (owner := self.address(inner)):
            yield "address", owner
        for what, text in values(self.unit, inner):
            if what in ("function", "field", "variable"):
                yield what, text

    def address(self, cursor: Cursor) -> str:
        """The field whose address an expression takes, if the field holds a function:
        `&c->parent_realize`."""
        inner = strip(children(cursor)[0])
        if inner._kind_id != _MEMBER or type_id(cursor) != _POINTER:
            return ""
        taken = pointer_to_function(canonical(inner))
        return field_name(referenced(inner)) if taken else ""

    def assignment(self, cursor: Cursor) -> None:
        # Every operator arrives here; only those with a pointer as value matter.
        if type_id(cursor) != _POINTER:
            return
        sides = children(cursor)
        if len(sides) != 2:
            return
        left, right = strip(sides[0]), strip(sides[1])
        if left._kind_id == _NAME and (name := self.local(referenced(left))):
            self.stored(name, right, sides[1])
        elif left._kind_id == _UNARY and right._kind_id == _MEMBER:
            number = self.own_parameter(strip(children(left)[0]))
            source = field_name(referenced(right))
            if number and source and pointer_to_function(canonical(right)):
                self.store(f"{number} {self.usr}", [("out", source)], cursor)
        if left._kind_id == _SUBSCRIPT:
            left = strip(children(left)[0])
        if left._kind_id == _MEMBER and (field := field_name(referenced(left))):
            self.stored(field, right, sides[1])

    def declared(self, cursor: Cursor) -> None:
        """`QEMUTimerCB *cb = ts->cb;`, and a table that only this function sees."""
        name, init = self.local(cursor), children(cursor)
        if init and init[-1]._kind_id == _LIST and (table := self.inner_table(cursor)):
            self.facts.stores += initialiser(self.unit, init[-1], table, "", self.usr, self.place)
        if init and init[-1]._kind_id == _LIST and cursor.storage_class == StorageClass.STATIC:
            self.tables.append((spelling(cursor), init[-1]))
        if name and init:
            self.stored(name, strip(init[-1]), init[-1])

    def local(self, cursor: Cursor | None) -> str:
        """A unique name for a function's variable that holds a pointer to a function, else empty."""
        if cursor is None or cursor._kind_id != _VARIABLE or cursor.linkage != LinkageKind.NO_LINKAGE:
            return ""
        return f"{self.usr} {spelling(cursor)}" if pointer_to_function(canonical(cursor)) else ""

    def stored(self, owner: str, right: Cursor, whole: Cursor) -> None:
        if right._kind_id == _CALL:
            found = [
                ("made", text)
                for argument in arguments(right)
                for what, text in self.argument(argument)
                if what == "function"
            ]
        elif number := self.own_parameter(right):
            found = [("param", number)]
        else:
            kept = ("function", "field", "string", "variable")
            found = [item for item in values(self.unit, right) if item[0] in kept]
        self.store(owner, found, whole)

    def store(self, owner: str, found: Iterable[tuple[str, str]], where: Cursor) -> None:
        line = position(where)[1]
        for what, text in found:
            self.facts.stores.append(Store(owner, what, text, "", "", self.usr, self.place, line))

    def compound(self, init: Cursor) -> None:
        """`*bh = (QEMUBH) { .cb = cb }` and local tables."""
        owner = bare(canonical(init).spelling)
        for item in children(init):
            parts = children(item)
            if len(parts) >= 2 and parts[0]._kind_id == _DESIGNATOR:
                value = strip(parts[-1])
                if value._kind_id == _LIST:
                    self.compound(value)
                else:
                    self.stored(f"{owner}.{spelling(parts[0])}", value, parts[-1])
            self.read(item)


# By kind of cursor. A bound method kept in the object would refer to the object, which would never be freed.
_READERS: dict[int, Callable[[Body, Cursor], None]] = {
    _CALL: Body.call,
    _BINARY: Body.assignment,
    _VARIABLE: Body.declared,
    _LIST: Body.compound,
    _STRING: Body.string,
    _MEMBER: Body.member,
    _SUBSCRIPT: Body.element,
    **dict.fromkeys(_LOOPS, Body.looped),
}


def _numbers(values: Iterable[int]) -> str:
    return " ".join(map(str, sorted(values)))


def initialiser(
    unit: Unit, init: Cursor, variable: str, row: str, caller: str, place: str, depth: int = 0
) -> Iterator[Store]:
    """The values that a table's initialiser stores; `variable` names the table, `row` its outermost entry."""
    kind: Type = canonical(init)
    array = kind._kind_id in ARRAYS
    names = [] if array else [spelling(item) for item in fields(kind)]
    owner = bare(kind.spelling)
    for number, item in enumerate(children(init)):
        parts = children(item) if item._kind_id == _UNEXPOSED else []
        index, value = str(number), item
        if len(parts) >= 2 and parts[0]._kind_id in (_DESIGNATOR, _NAME):
            index, value = spelling(parts[0]), parts[-1]
        elif array and len(parts) >= 2 and parts[0]._kind_id == _INTEGER:
            value = parts[-1]
        elif not array:
            index = names[number] if number < len(names) else index
        inner = strip(value)
        if inner._kind_id == _LIST:
            if depth < _DEEPEST:
                inside = index if array else row
                yield from initialiser(unit, inner, variable, inside, caller, place, depth + 1)
            continue
        line = position(value)[1]
        for what, text in values(unit, inner, constants=True):
            target = variable if array else f"{owner}.{index}"
            yield Store(target, what, text, variable, index if array else row, caller, place, line)


def values(unit: Unit, cursor: Cursor, constants: bool = False) -> Iterator[tuple[str, str]]:
    """The values that an expression may stand for: see `qtrace.index.facts`.

    Enumerators, sizes and numbers are included with `constants` only: evaluating them costs most.
    """
    kind = cursor._kind_id
    if kind in _THROUGH:
        for child in children(cursor):
            yield from values(unit, child, constants)
    elif kind == _NAME:
        target = referenced(cursor)
        if target is None:
            return
        if target._kind_id == _FUNCTION:
            yield "function", usr_of(unit, target)
        elif target._kind_id == _CONSTANT and constants:
            yield "enum", spelling(target)
        elif target._kind_id == _VARIABLE:
            yield "variable", spelling(target)
    elif kind == _UNARY:
        for child in children(cursor):
            for what, text in values(unit, child):
                if what in ("variable", "function"):
                    yield what, text
    elif kind == _MEMBER:
        if owner := field_name(referenced(cursor)):
            yield "field", owner
    elif kind == _STRING:
        yield "string", spelling(cursor).strip('"')
    elif constants and kind == _SIZEOF:
        if text := _sizeof(cursor):
            yield "sizeof", text
    elif constants and kind == _INTEGER:
        yield "number", next((token.spelling for token in cursor.get_tokens()), "")


def usr_of(unit: Unit, function: Cursor) -> str:
    """A function's USR; the name of a function that is defined elsewhere is recorded.

    clang distinguishes static functions by their file's name without its folder, but two folders may have a
    vhost-vdpa.c; and by none in a header that a system header has included, as another file may have done
    directly.
    """
    number = declaration(function)
    if number not in names_given:
        name = usr(function)
        of_clang = name.startswith(_EXPORTED)
        place = unit.place(position(function)[0], function) if not of_clang or is_static(function) else ""
        if place or not of_clang:
            _, _, rest = name.partition("@")
            name = f"c:{place}@{rest}"
        unit.facts.external.setdefault(name, spelling(function))
        names_given[number] = name
    return names_given[number]


def _sizeof(cursor: Cursor) -> str:
    words = [token.spelling for token in cursor.get_tokens()]
    if len(words) >= 4 and words[0] == "sizeof" and words[1] == "(":
        return " ".join(word for word in words[2 : words.index(")")] if word != "struct")
    return ""
