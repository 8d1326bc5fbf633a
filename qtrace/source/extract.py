"""One C file -> its facts, with libclang. Runs in a worker process; touches nothing but the file."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clang.cindex import Cursor, CursorKind, Index, LinkageKind, TranslationUnit, Type, TypeKind

from qtrace.source.facts import Call, Facts, Function, Pass, Store, Struct
from qtrace.source.guards import guards

__all__ = ["extract"]

_THROUGH = {
    CursorKind.UNEXPOSED_EXPR,
    CursorKind.PAREN_EXPR,
    CursorKind.CSTYLE_CAST_EXPR,
    CursorKind.CONDITIONAL_OPERATOR,
}
_ARRAYS = (TypeKind.CONSTANTARRAY, TypeKind.INCOMPLETEARRAY)
_COMPUTED = _THROUGH | {CursorKind.UNARY_OPERATOR, CursorKind.ARRAY_SUBSCRIPT_EXPR}
_LEAVES = {
    CursorKind.DECL_REF_EXPR,
    CursorKind.TYPE_REF,
    CursorKind.INTEGER_LITERAL,
    CursorKind.STRING_LITERAL,
}
# Declarations of headers that this worker has already read: they are the same in every file.
_read_headers: set[tuple[str, int, str]] = set()
_KEPT_ENUMS = {"NetClientDriver"}
_MOST_ERRORS = 5


def extract(root: str, file: str, common: tuple[str, ...], specific: dict[str, tuple[str, ...]]) -> Facts:
    """Parse `root`/`file` as common code, and as each target's if that fails; keep the best attempt."""
    best: tuple[int, TranslationUnit, str] | None = None
    for name, flags in {"common": common, **specific}.items():
        unit = _clang().parse(str(Path(root, file)), args=list(flags))
        errors = sum(diagnostic.severity >= 3 for diagnostic in unit.diagnostics)
        if best is None or errors < best[0]:
            best = (errors, unit, name)
        if not errors:
            break
    assert best is not None
    return _Reader(root, file, best[1], best[2]).read()


@functools.cache
def _clang() -> Any:
    return Index.create()


class _Reader:
    def __init__(self, root: str, file: str, unit: TranslationUnit, flags: str) -> None:
        self.root = root.rstrip("/") + "/"
        self.unit = unit
        self.facts = Facts(file, flags)
        self.guards: dict[str, list[str | None]] = {}
        self.places: dict[str, str | None] = {}
        self.seen: set[str] = set()

    def read(self) -> Facts:
        errors = [str(item.spelling) for item in self.unit.diagnostics if item.severity >= 3]
        self.facts.errors = errors[:_MOST_ERRORS]
        for cursor in self.unit.cursor.get_children():
            place = self.place(cursor)
            if place is None:
                continue
            if place != self.facts.file:
                known = (place, cursor.location.offset, cursor.spelling)
                if known in _read_headers:
                    continue
                _read_headers.add(known)
            kind = cursor.kind
            if kind == CursorKind.FUNCTION_DECL:
                if cursor.is_definition():
                    self.function(cursor, place)
            elif kind == CursorKind.VAR_DECL:
                self.variable(cursor, place)
            elif kind == CursorKind.STRUCT_DECL or kind == CursorKind.UNION_DECL:
                self.struct(cursor, cursor.spelling)
            elif kind == CursorKind.TYPEDEF_DECL:
                under = cursor.underlying_typedef_type.get_canonical()
                if under.kind == TypeKind.RECORD:
                    self.struct(under.get_declaration(), cursor.spelling)
            elif kind == CursorKind.ENUM_DECL and cursor.spelling in _KEPT_ENUMS:
                for item in cursor.get_children():
                    if item.kind == CursorKind.ENUM_CONSTANT_DECL:
                        self.facts.enums.append((cursor.spelling, item.spelling, item.enum_value))
        return self.facts

    def place(self, cursor: Cursor) -> str | None:
        """The cursor's file relative to the tree; None for what does not belong to the tree."""
        file = cursor.location.file
        if file is None:
            return None
        name = file.name
        if name not in self.places:
            inside = name.startswith(self.root)
            self.places[name] = name[len(self.root) :] if inside else None
            if "/generated/" in name and "/qapi/qapi-types-net" in name:
                self.places[name] = "qapi/net.json"
        return self.places[name]

    def guard(self, place: str, line: int) -> str | None:
        if not place.endswith(".c"):
            return None
        if place not in self.guards:
            self.guards[place] = guards(Path(self.root, place).read_text(errors="replace"))
        known = self.guards[place]
        return known[line - 1] if 0 < line <= len(known) else None

    def function(self, cursor: Cursor, place: str) -> None:
        usr = cursor.get_usr()
        if place.startswith("qapi/") or cursor.spelling.startswith(("trace_", "_nocheck__trace_")):
            return
        line = cursor.location.line
        static = cursor.linkage == LinkageKind.INTERNAL
        end = cursor.extent.end.line
        self.facts.functions.append(
            Function(
                usr, cursor.spelling, place, line, end, static, cursor.type.spelling, self.guard(place, line)
            )
        )
        parameters = {item.get_usr() or item.spelling: n for n, item in enumerate(cursor.get_arguments())}
        _Body(self, usr, place, parameters).read(cursor)

    def variable(self, cursor: Cursor, place: str) -> None:
        """A table: a struct, or an array of structs or of function pointers, with an initialiser."""
        if place.startswith("qapi/"):
            return
        init = next((item for item in cursor.get_children() if item.kind == CursorKind.INIT_LIST_EXPR), None)
        if init is None:
            return
        name, line = cursor.spelling, cursor.location.line
        self.facts.variables.append((name, _bare(cursor.type.spelling), place, line))
        for store in self.initialiser(init, name, "", "", place):
            self.facts.stores.append(store)

    def initialiser(
        self, init: Cursor, variable: str, row: str, caller: str, place: str, depth: int = 0
    ) -> Iterator[Store]:
        kind = init.type.get_canonical()
        array = kind.kind in _ARRAYS
        fields: list[Cursor] = [] if array else list(kind.get_fields())
        owner = _bare(kind.spelling)
        for number, item in enumerate(init.get_children()):
            children = list(item.get_children()) if item.kind == CursorKind.UNEXPOSED_EXPR else []
            index, value = str(number), item
            if len(children) >= 2 and children[0].kind in (CursorKind.MEMBER_REF, CursorKind.DECL_REF_EXPR):
                index, value = children[0].spelling, children[-1]
            elif array and len(children) >= 2 and children[0].kind == CursorKind.INTEGER_LITERAL:
                value = children[-1]
            elif not array:
                index = fields[number].spelling if number < len(fields) else index
            inner = _strip(value)
            if inner.kind == CursorKind.INIT_LIST_EXPR:
                if depth < 4:
                    inside = index if array else row
                    yield from self.initialiser(inner, variable, inside, caller, place, depth + 1)
                continue
            line = value.location.line
            for what, text in self.values(value):
                target = variable if array else f"{owner}.{index}"
                yield Store(target, what, text, variable, index if array else row, caller, place, line)

    def values(self, cursor: Cursor) -> Iterator[tuple[str, str]]:
        """What an expression may stand for, as far as it matters: see `qtrace.source.facts`."""
        kind = cursor.kind
        if kind in _THROUGH:
            for child in cursor.get_children():
                yield from self.values(child)
        elif kind == CursorKind.DECL_REF_EXPR:
            target = cursor.referenced
            if target is None:
                return
            if target.kind == CursorKind.FUNCTION_DECL:
                yield "function", self.usr(target)
            elif target.kind == CursorKind.ENUM_CONSTANT_DECL:
                yield "enum", target.spelling
            elif target.kind == CursorKind.VAR_DECL:
                yield "variable", target.spelling
        elif kind == CursorKind.UNARY_OPERATOR:
            for child in cursor.get_children():
                for what, text in self.values(child):
                    if what in ("variable", "function"):
                        yield what, text
        elif kind == CursorKind.MEMBER_REF_EXPR:
            owner = _field(cursor.referenced)
            if owner:
                yield "field", owner
        elif kind == CursorKind.STRING_LITERAL:
            yield "string", cursor.spelling.strip('"')
        elif kind == CursorKind.CXX_UNARY_EXPR:
            text = _sizeof(cursor)
            if text:
                yield "sizeof", text
        elif kind == CursorKind.INTEGER_LITERAL:
            yield "number", next((token.spelling for token in cursor.get_tokens()), "")

    def usr(self, function: Cursor) -> str:
        usr = str(function.get_usr())
        if usr not in self.facts.external:
            self.facts.external[usr] = function.spelling
        return usr

    def struct(self, cursor: Cursor, name: str) -> None:
        if not name or name in self.seen or not cursor.is_definition():
            return
        self.seen.add(name)
        fields = []
        for item in cursor.type.get_fields():
            offset = cursor.type.get_offset(item.spelling)
            if offset >= 0:
                fields.append((item.spelling, offset // 8, max(item.type.get_size(), 0), item.type.spelling))
        self.facts.structs.append(Struct(name, cursor.type.get_size(), tuple(fields)))


class _Body:
    """Walks one function's body."""

    def __init__(self, reader: _Reader, usr: str, place: str, parameters: dict[str, int]) -> None:
        self.reader = reader
        self.facts = reader.facts
        self.usr = usr
        self.place = place
        self.parameters = parameters

    def read(self, cursor: Cursor) -> None:
        for child in cursor.get_children():
            kind = child.kind
            if kind in _LEAVES:
                continue
            if kind == CursorKind.CALL_EXPR:
                self.call(child)
            elif kind == CursorKind.BINARY_OPERATOR:
                self.assignment(child)
            elif kind == CursorKind.VAR_DECL:
                self.declared(child)
            elif kind == CursorKind.INIT_LIST_EXPR:
                self.compound(child)
                continue
            self.read(child)

    def call(self, cursor: Cursor) -> None:
        target = cursor.referenced
        line = cursor.location.line
        callee = ""
        if target is None:
            kind, name = "unknown", ""
        elif target.kind == CursorKind.FUNCTION_DECL:
            if target.spelling.startswith(("trace_", "__builtin_")):
                return
            callee = self.reader.usr(target)
            kind, name = "direct", callee
        elif target.kind == CursorKind.FIELD_DECL:
            kind, name = "field", _field(target) or ""
        elif target.kind == CursorKind.PARM_DECL:
            kind, name = "param", str(self.parameter(target))
        elif target.kind == CursorKind.VAR_DECL:
            kind, name = "variable", self.local(target) or target.spelling
        else:
            kind, name = "unknown", ""
        if kind == "unknown" or (kind == "variable" and not name):
            kind, name = self.computed(cursor)
            callee = name if kind == "direct" else ""
        self.facts.calls.append(Call(self.usr, kind, name, self.place, line))
        if callee:
            for number, argument in enumerate(cursor.get_arguments()):
                for what, text in self.argument(argument):
                    self.facts.passes.append(Pass(self.usr, callee, number, what, text, self.place, line))

    def computed(self, cursor: Cursor) -> tuple[str, str]:
        """`table[i][j](…)`: the array's name, or the field that is an array; `(function)(…)`."""
        callee = next(iter(cursor.get_children()), None)
        subscripts = 0
        while callee is not None and callee.kind in _COMPUTED:
            subscripts += callee.kind == CursorKind.ARRAY_SUBSCRIPT_EXPR
            callee = next(iter(callee.get_children()), None)
        if callee is None:
            return "unknown", ""
        target = callee.referenced
        if target is not None and target.kind == CursorKind.FUNCTION_DECL:
            return "direct", self.reader.usr(target)
        if subscripts and callee.kind == CursorKind.DECL_REF_EXPR:
            return "variable", self.inner_table(target) or str(callee.spelling)
        if subscripts and callee.kind == CursorKind.MEMBER_REF_EXPR:
            return "field", _field(target) or ""
        return "unknown", ""

    def inner_table(self, cursor: Cursor | None) -> str:
        """A name of its own for a function's own array of pointers to functions, else nothing."""
        if cursor is None or cursor.kind != CursorKind.VAR_DECL or cursor.linkage != LinkageKind.NO_LINKAGE:
            return ""
        element = cursor.type.get_canonical()
        while element.kind in _ARRAYS:
            element = element.get_array_element_type().get_canonical()
        return f"{self.usr} {cursor.spelling}" if _to_function(element) else ""

    def own_parameter(self, cursor: Cursor) -> str | None:
        """The number of the parameter that an expression is, if it is one."""
        target = cursor.referenced if cursor.kind == CursorKind.DECL_REF_EXPR else None
        if target is None or target.kind != CursorKind.PARM_DECL:
            return None
        number = self.parameter(target)
        return str(number) if number >= 0 else None

    def parameter(self, target: Cursor) -> int:
        return self.parameters.get(target.get_usr() or target.spelling, -1)

    def argument(self, cursor: Cursor) -> Iterator[tuple[str, str]]:
        inner = _strip(cursor)
        number = self.own_parameter(inner)
        if number is not None:
            yield "param", number
            return
        if inner.kind == CursorKind.UNARY_OPERATOR and (owner := self.address(inner)):
            yield "address", owner
        for what, text in self.reader.values(cursor):
            if what in ("function", "field", "variable"):
                yield what, text

    def address(self, cursor: Cursor) -> str:
        """The field whose address an expression takes, if functions are kept in it: `&c->parent_realize`."""
        inner = _strip(next(iter(cursor.get_children())))
        taken = cursor.type.get_canonical().kind == TypeKind.POINTER and _to_function(
            inner.type.get_canonical()
        )
        if not taken or inner.kind != CursorKind.MEMBER_REF_EXPR:
            return ""
        return _field(inner.referenced) or ""

    def assignment(self, cursor: Cursor) -> None:
        sides = list(cursor.get_children())
        if len(sides) != 2:
            return
        left, right = _strip(sides[0]), _strip(sides[1])
        if left.kind == CursorKind.DECL_REF_EXPR and (name := self.local(left.referenced)):
            self.stored(name, right, sides[1])
        if left.kind == CursorKind.UNARY_OPERATOR and right.kind == CursorKind.MEMBER_REF_EXPR:
            number = self.own_parameter(_strip(next(iter(left.get_children()))))
            source = _field(right.referenced)
            if number is not None and source and _to_function(right.type.get_canonical()):
                owner = f"{number} {self.usr}"
                line = cursor.location.line
                self.facts.stores.append(Store(owner, "out", source, "", "", self.usr, self.place, line))
        if left.kind == CursorKind.ARRAY_SUBSCRIPT_EXPR:
            left = _strip(next(iter(left.get_children())))
        if left.kind != CursorKind.MEMBER_REF_EXPR:
            return
        if field := _field(left.referenced):
            self.stored(field, right, sides[1])

    def declared(self, cursor: Cursor) -> None:
        """`QEMUTimerCB *cb = ts->cb;`, and a table that only this function sees."""
        name, init = self.local(cursor), list(cursor.get_children())
        if init and init[-1].kind == CursorKind.INIT_LIST_EXPR and (table := self.inner_table(cursor)):
            self.facts.stores += self.reader.initialiser(init[-1], table, "", self.usr, self.place)
        if name and init:
            self.stored(name, _strip(init[-1]), init[-1])

    def local(self, cursor: Cursor | None) -> str:
        """A name of its own for a function's variable that holds a pointer to a function, else nothing."""
        if cursor is None or cursor.kind != CursorKind.VAR_DECL or cursor.linkage != LinkageKind.NO_LINKAGE:
            return ""
        return f"{self.usr} {cursor.spelling}" if _to_function(cursor.type.get_canonical()) else ""

    def stored(self, owner: str, right: Cursor, whole: Cursor) -> None:
        found: list[tuple[str, str]] = []
        if right.kind == CursorKind.CALL_EXPR:
            for argument in right.get_arguments():
                found += [("made", text) for what, text in self.argument(argument) if what == "function"]
        else:
            number = self.own_parameter(right)
            found = (
                [("param", number)]
                if number is not None
                else [
                    item
                    for item in self.reader.values(whole)
                    if item[0] in ("function", "field", "string", "variable")
                ]
            )
        line = whole.location.line
        for what, text in found:
            self.facts.stores.append(Store(owner, what, text, "", "", self.usr, self.place, line))

    def compound(self, init: Cursor) -> None:
        """`*bh = (QEMUBH) { .cb = cb }` and local tables."""
        owner = _bare(init.type.get_canonical().spelling)
        for item in init.get_children():
            children = list(item.get_children())
            if len(children) >= 2 and children[0].kind == CursorKind.MEMBER_REF:
                value = _strip(children[-1])
                if value.kind == CursorKind.INIT_LIST_EXPR:
                    self.compound(value)
                else:
                    self.stored(f"{owner}.{children[0].spelling}", value, children[-1])
            self.read(item)


def _strip(cursor: Cursor) -> Cursor:
    """Past implicit casts, parentheses and casts."""
    while cursor.kind in (
        CursorKind.UNEXPOSED_EXPR,
        CursorKind.PAREN_EXPR,
        CursorKind.CSTYLE_CAST_EXPR,
        CursorKind.COMPOUND_LITERAL_EXPR,
    ):
        children = [child for child in cursor.get_children() if child.kind != CursorKind.TYPE_REF]
        if len(children) != 1:
            break
        cursor = children[0]
    return cursor


def _field(field: Cursor | None) -> str | None:
    """`Struct.field` of a field's declaration; a struct inside a struct gives its own place."""
    if field is None or field.kind != CursorKind.FIELD_DECL:
        return None
    return f"{_bare(field.semantic_parent.type.get_canonical().spelling)}.{field.spelling}"


def _to_function(kind: Type) -> bool:
    return bool(kind.get_pointee().kind == TypeKind.FUNCTIONPROTO)


def _bare(name: str) -> str:
    """A type's name without qualifiers, `struct` and array bounds."""
    words = [
        word for word in name.split("[")[0].split() if word not in ("const", "struct", "volatile", "static")
    ]
    return " ".join(words)


def _sizeof(cursor: Cursor) -> str:
    words = [token.spelling for token in cursor.get_tokens()]
    if len(words) >= 4 and words[0] == "sizeof" and words[1] == "(":
        return " ".join(word for word in words[2 : words.index(")")] if word != "struct")
    return ""
