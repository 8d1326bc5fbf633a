"""Reads the facts of one C file with libclang. Runs in a worker process and reads nothing but the file."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from clang.cindex import (
    Cursor,
    CursorKind,
    Index,
    TranslationUnit,
    TranslationUnitLoadError,
    TranslationUnitSaveError,
    Type,
    TypeKind,
)

from qtrace.errors import SourceError
from qtrace.index.body import Body, initialiser, usr_of
from qtrace.index.cursors import (
    Run,
    arguments,
    bare,
    canonical,
    children,
    fields,
    included,
    is_definition,
    is_static,
    last_line,
    offset_of,
    outermost,
    position,
    size_of,
    spelling,
    type_id,
    type_name,
    unrooted,
    usr,
)
from qtrace.index.facts import Facts, Function, Struct, facts_to_json
from qtrace.index.guards import guards
from qtrace.index.table_images import image

__all__ = ["Attempt", "extract_json", "precompile"]

_FUNCTION, _VARIABLE = CursorKind.FUNCTION_DECL.value, CursorKind.VAR_DECL.value
_STRUCT, _UNION = CursorKind.STRUCT_DECL.value, CursorKind.UNION_DECL.value
_TYPEDEF, _ENUM = CursorKind.TYPEDEF_DECL.value, CursorKind.ENUM_DECL.value
_LIST, _RECORD = CursorKind.INIT_LIST_EXPR.value, TypeKind.RECORD.value
_ONLY_DEFINED = (_FUNCTION, _STRUCT, _UNION, _ENUM)
# Declarations in headers that this worker has read, by flags and file: (offset, count of earlier ones there)
# -> the unit with their facts, or empty if there are none. With equal flags they are equal in all units.
_read_headers: dict[tuple[str, str], dict[tuple[int, int], str]] = {}
# The same for whole runs: the units with their facts, and what is still to be read of it: (number in the
# run, count of earlier ones at the offset).
_read_runs: dict[int, tuple[set[str], list[tuple[int, int]]]] = {}
_KEPT_ENUMS = {"NetClientDriver"}
_MOST_ERRORS = 5
_ERROR = 3  # CXDiagnostic_Error
# Errors that include/exec/poison.h and target/*/cpu.h cause in code that is compiled once for each target.
_OF_A_TARGET = re.compile(r"poisoned|'cpu\.h' file not found")
_QAPI_NET, _QAPI_SCHEMA = "/qapi/qapi-types-net.h", "qapi/net.json"  # the schema stands for its code


class Attempt(NamedTuple):
    """One way to parse a file: `name` is that of its flags, `pch` a header compiled with them.

    `shared` tells whether the flags are for code that all targets share.
    """

    name: str
    flags: tuple[str, ...]
    pch: str = ""
    shared: bool = False


def extract(root: str, file: str, attempts: tuple[Attempt, ...]) -> Facts:
    """Parse `root`/`file` with each attempt until one has no error that another might avoid; keep the best.

    Raises SourceError if libclang cannot parse the file at all.
    """
    best: tuple[int, TranslationUnit, str] | None = None
    for attempt in attempts:
        flags = [*attempt.flags, *(("-include-pch", attempt.pch) if attempt.pch else ())]
        try:
            unit = _clang().parse(str(Path(root, file)), args=flags)
        except TranslationUnitLoadError as exc:
            raise SourceError(f"libclang cannot parse {root}/{file}: {exc}") from exc
        errors = _errors(unit)
        if best is None or len(errors) < best[0]:
            best = (len(errors), unit, attempt.name)
        if not errors or (attempt.shared and not any(map(_OF_A_TARGET.search, errors))):
            break
    assert best is not None
    return _Reader(root, file, best[1], best[2]).read()


def extract_json(root: str, file: str, attempts: tuple[Attempt, ...]) -> tuple[str, list[str]]:
    """`extract`, as JSON and the included files: this travels between processes faster than the objects."""
    facts = extract(root, file, attempts)
    return facts_to_json(facts), facts.includes


def precompile(header: str, flags: tuple[str, ...], into: Path) -> bool:
    """Compile a header that every file includes first; whether this succeeded."""
    try:
        unit = _clang().parse(header, args=["-xc-header", *flags], options=TranslationUnit.PARSE_INCOMPLETE)
        if _errors(unit):
            return False
        unit.save(str(into))
    except (TranslationUnitLoadError, TranslationUnitSaveError):
        return False
    return True


def _complete(typedef: Cursor) -> bool:
    under = typedef.underlying_typedef_type.get_canonical()
    return under.kind != TypeKind.RECORD or is_definition(under.get_declaration())


def _named_fields(kind: Type, base: int = 0) -> Iterator[tuple[Cursor, str, int]]:
    """The fields of a record, each with its name and offset in bits.

    Fields of unnamed unions and structs are included, because code uses them by their own names
    (`VIRTIO_DECLARE_FEATURES(guest_features)` makes such a union).
    """
    for item in fields(kind):
        name, offset = spelling(item), offset_of(item)
        if name and "(" not in name:
            yield item, name, base + offset if offset >= 0 else offset
        elif type_id(item) == _RECORD:
            yield from _named_fields(canonical(item), base + max(offset, 0))


def _errors(unit: TranslationUnit) -> list[str]:
    return [str(item.spelling) for item in unit.diagnostics if item.severity >= _ERROR]


@functools.cache
def _clang() -> Any:
    return Index.create(excludeDecls=True)


def _numbered(offsets: Sequence[int]) -> list[tuple[int, int]]:
    """The number of each declaration in its run, and the count of earlier ones at its offset: a macro may
    make several."""
    found, before, same = [], -1, 0
    for number, offset in enumerate(offsets):
        same = same + 1 if before == offset else 0
        before = offset
        found.append((number, same))
    return found


class _Reader:
    def __init__(self, root: str, file: str, unit: TranslationUnit, flags: str) -> None:
        self.root = root.rstrip("/") + "/"
        self.unit = unit
        self.facts = Facts(file, flags)
        self.guards: dict[str, list[str | None]] = {}
        self.places: dict[int, str] = {}  # by libclang's number of a file; empty for a file outside the tree
        self.seen: set[str] = set()
        self.relied: set[tuple[str, str]] = set()

    def read(self) -> Facts:
        self.facts.errors = _errors(self.unit)[:_MOST_ERRORS]
        self.facts.includes = sorted(included(self.unit))
        if any(name.endswith(_QAPI_NET) for name in self.facts.includes):
            self.facts.includes.append(self.root + _QAPI_SCHEMA)
        for run in outermost(self.unit, self.facts.flags):
            place = self.relative(run.file)
            if place == self.facts.file:
                for cursor in run.cursors:
                    if cursor._kind_id not in _ONLY_DEFINED or is_definition(cursor):
                        self.declaration(cursor, place)
            elif place:
                self.header(run, place)
        self.facts.relied = sorted(self.relied)
        return self.facts

    def header(self, run: Run, place: str) -> None:
        """Read the declarations of a header that no other unit has read."""
        file = self.facts.file
        owners, left = _read_runs.get(run.number, (set(), None))
        if left is None or file in owners:
            owners, left = set(), _numbered(run.offsets)
        known = _read_headers.setdefault((self.facts.flags, place), {})
        still = []
        for number, same in left:
            at = run.offsets[number], same
            owner = known.get(at)
            if owner is None or owner == file:
                owner = self.owner(run.cursors[number], place)
                if owner is None:
                    still.append((number, same))
                    continue
                known[at] = owner
            if owner:
                owners.add(owner)
        self.relied.update((place, owner) for owner in owners if owner != file)
        _read_runs[run.number] = owners, still

    def owner(self, cursor: Cursor, place: str) -> str | None:
        """Read a header's declaration. The unit that has its facts: this one, or empty if there are none,
        or None if another unit may know more."""
        kind = cursor._kind_id
        if kind in _ONLY_DEFINED and not is_definition(cursor):
            return ""
        if kind == _TYPEDEF and not _complete(cursor):
            return None  # another unit may know the macro's meaning
        self.declaration(cursor, place)
        return self.facts.file

    def declaration(self, cursor: Cursor, place: str) -> None:
        kind = cursor._kind_id
        line = position(cursor)[1] if kind in (_FUNCTION, _VARIABLE) else 0
        if kind == _FUNCTION:
            self.function(cursor, place, line)
        elif kind == _VARIABLE:
            self.variable(cursor, place, line)
        elif kind in (_STRUCT, _UNION):
            self.struct(cursor, cursor.spelling)
        elif kind == _TYPEDEF:
            under = cursor.underlying_typedef_type.get_canonical()
            if under.kind == TypeKind.RECORD:
                self.struct(under.get_declaration(), cursor.spelling)
        elif kind == _ENUM and cursor.spelling in _KEPT_ENUMS:
            for item in children(cursor):
                if item.kind == CursorKind.ENUM_CONSTANT_DECL:
                    self.facts.enums.append((cursor.spelling, item.spelling, item.enum_value))

    def place(self, number: int, cursor: Cursor) -> str:
        """The cursor's file relative to the tree; empty for a file outside the tree."""
        if number not in self.places:
            file = cursor.location.file
            self.places[number] = self.relative(file.name if file else "")
        return self.places[number]

    def relative(self, name: str) -> str:
        """A file's name relative to the tree; empty for a file outside the tree."""
        if name.endswith(_QAPI_NET):
            return _QAPI_SCHEMA
        return name[len(self.root) :] if name.startswith(self.root) else ""

    def guard(self, place: str, line: int) -> str | None:
        if not place.endswith(".c"):
            return None
        if place not in self.guards:
            self.guards[place] = guards(Path(self.root, place).read_text(errors="replace"))
        known = self.guards[place]
        return known[line - 1] if 0 < line <= len(known) else None

    def function(self, cursor: Cursor, place: str, line: int) -> None:
        name = spelling(cursor)
        if place.startswith("qapi/") or name.startswith(("trace_", "_nocheck__trace_")):
            return
        identity = usr_of(self, cursor)
        guard = self.guard(place, line)
        signature = (
            identity,
            name,
            place,
            line,
            last_line(cursor),
            is_static(cursor),
            type_name(cursor),
            guard,
        )
        self.facts.functions.append(Function(*signature))
        parameters = {usr(item) or spelling(item): n for n, item in enumerate(arguments(cursor))}
        body = Body(self, identity, place, parameters)
        body.whole(cursor)
        for name, table in body.tables:
            self.facts.cells += image(self, table, name, place)

    def variable(self, cursor: Cursor, place: str, line: int) -> None:
        """A table: a struct, or an array of structs or of function pointers, with an initialiser."""
        if place.startswith("qapi/"):
            return
        init = next((item for item in children(cursor) if item._kind_id == _LIST), None)
        if init is None:
            return
        name = cursor.spelling
        self.facts.variables.append((name, bare(cursor.type.spelling), place, line))
        self.facts.stores += initialiser(self, init, name, "", "", place)
        self.facts.cells += image(self, init, name, place)

    def struct(self, cursor: Cursor, name: str) -> None:
        if not name or "(" in name or name in self.seen or not cursor.is_definition():
            return
        self.seen.add(name)
        found = tuple(
            (field, offset // 8, size_of(item), unrooted(type_name(item)))
            for item, field, offset in _named_fields(cursor.type)
            if offset >= 0
        )
        self.facts.structs.append(Struct(name, cursor.type.get_size(), found))
