"""The source index on disk: SQLite, one file for each QEMU tree. All its queries are in this module.

Reading needs neither libclang nor pandas, so that `map` and `walk` start without delay.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from qtrace.cache import cache_dir
from qtrace.errors import OldIndex, StoreError
from qtrace.model import EXACT

__all__ = [
    "FORMAT",
    "ClientTable",
    "Edge",
    "FunctionRow",
    "Index",
    "find_index",
    "has_current",
    "index_path",
    "mark_current",
    "open_index",
]

# Increase this number if the same tree would give another index: other tables, other rows, other facts.
FORMAT = 36
_COLUMNS = "id, name, file, line, static"


@dataclass(frozen=True, slots=True)
class FunctionRow:
    """A function; `file` is empty and `line` 0 for one that is called but not defined in the tree."""

    id: int
    name: str
    file: str
    line: int
    static: bool


@dataclass(frozen=True, slots=True)
class Edge:
    """A resolved call. `evidence`: (file, line, why). `field` is `Struct.field` for an indirect call.

    `confidence` and `loop` as in `qtrace.model.CallSite`. `parameter` is the number of the caller's
    parameter that is called, -1 for a call through anything else.
    """

    caller: int
    callee: int
    file: str
    line: int
    kind: str
    rule: str
    field: str
    evidence: tuple[tuple[str, int, str], ...]
    confidence: str = EXACT
    loop: bool = False
    parameter: int = -1


@dataclass(frozen=True, slots=True)
class ClientTable:
    """A static `NetClientInfo`. `callbacks`: field -> (function, line of the initialiser)."""

    variable: str
    file: str
    line: int
    driver: str
    size_of: str
    callbacks: Mapping[str, tuple[FunctionRow, int]] = field(default_factory=dict)


def index_path(key: str) -> Path:
    """The file of the index with this key."""
    return cache_dir("indexes") / f"{key}.sqlite"


def open_index(path: Path | None = None) -> Index:
    """An index for reading; None means the index used last. Raises OldIndex, StoreError."""
    if path is None:
        current = cache_dir("indexes") / "current"
        try:
            path = cache_dir("indexes") / current.read_text().strip()
        except OSError as exc:
            raise StoreError("there is no source index yet", hint="run: qtrace index") from exc
    if not path.is_file():
        raise StoreError(f"there is no source index at {path}", hint="run: qtrace index")
    return Index(path)


def find_index(name: str) -> Index:
    """The index at the path `name`, or the newest of the QEMU version `name`; the index used last for "".

    `7.2.22` is the plain index of that version, `7.2.22+libraries` one that includes libraries. Raises
    OldIndex if another release of qtrace made it, else StoreError with the available versions.
    """
    if not name:
        return open_index()
    with contextlib.suppress(PermissionError):  # an unreadable path is not an index that could be opened
        if Path(name).is_file():
            return open_index(Path(name))
    kept = sorted(cache_dir("indexes").glob("qemu-*.sqlite"), key=lambda path: path.stat().st_mtime)
    mine = [path for path in kept if path.name.startswith(f"qemu-{name}-")]
    readable = [path for path in mine if path.stem.endswith(f"-{FORMAT}")]
    if mine and not readable:
        return open_index(mine[-1])  # raises the error that names the old release
    if not readable:
        versions = ", ".join(sorted({path.name.split("-")[1] for path in kept})) or "none"
        raise StoreError(
            f"there is no source index {name!r} (indexed: {versions})", hint="run: qtrace index --source TREE"
        )
    # An index may outlive its tree: it can be read, but has no source to show.
    for path in reversed(readable):
        index = open_index(path)
        if Path(index.meta.get("root", "")).is_dir():
            return index
        index.close()
    return open_index(readable[-1])


class Index:
    """Reads an index. Rows are returned as the small classes above."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: dict[int, FunctionRow] = {}  # cache: an index does not change, and walks ask often
        self._callees: dict[int, list[Edge]] = {}
        try:
            self._db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
            self.meta: dict[str, str] = dict(self._db.execute("SELECT key, value FROM meta"))
        except sqlite3.DatabaseError as exc:
            raise StoreError(
                f"{path} is not a source index: {exc}", hint="delete it and run: qtrace index"
            ) from exc
        if self.meta.get("format") != str(FORMAT):
            self._db.close()
            raise OldIndex(f"the index {path} was made by another release of qtrace", self.meta)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @cached_property
    def libraries(self) -> dict[str, Path]:
        """The trees of the indexed libraries, by the first folder in their files' names."""
        named: dict[str, str] = json.loads(self.meta.get("libraries", "{}"))
        return {name: Path(root) for name, root in named.items()}

    def library_of(self, file: str) -> str:
        """The library that an indexed file belongs to, empty for a file of QEMU."""
        name, slash, _ = file.partition("/")
        return name if slash and name in self.libraries else ""

    def place(self, file: str) -> tuple[Path, str]:
        """(tree, path in it) of an indexed file: in QEMU's tree, or in a library's."""
        if name := self.library_of(file):
            return self.libraries[name], file[len(name) + 1 :]
        return Path(self.meta["root"]), file

    def files_of(self, library: str) -> list[str]:
        """A library's indexed files."""
        query = "SELECT file FROM files WHERE substr(file, 1, ?) = ? ORDER BY file"
        return self._column(query, len(library) + 1, f"{library}/")

    def struct(self, name: str) -> tuple[dict[str, tuple[int, int, str]], int]:
        """Field -> (offset, size, type) and the struct's size, in bytes. Raises StoreError if unknown."""
        rows = self._db.execute(
            'SELECT field, "offset", size, type, total FROM structs WHERE name = ?', (name,)
        )
        fields, total = {}, 0
        for label, offset, size, kind, whole in rows:
            fields[label] = (offset, size, kind)
            total = whole
        if not fields:
            raise StoreError(f"the index has no struct {name!r}")
        return fields, total

    def offsets(self, struct: str) -> dict[str, int]:
        """Field -> its offset in bytes; empty for an unknown struct."""
        return dict(self._db.execute('SELECT field, "offset" FROM structs WHERE name = ?', (struct,)))

    def offset_of(self, struct: str, field: str) -> int:
        """A field's offset in bytes; the field may be in the base struct with which the struct begins.

        Raises StoreError if neither struct has the field.
        """
        fields, _ = self.struct(struct)
        if field in fields:
            return fields[field][0]
        base = next((kind for offset, _, kind in fields.values() if offset == 0 and kind != struct), "")
        return self.offset_of(base, field)

    def enum(self, name: str) -> dict[str, int]:
        """Constant -> value."""
        return dict(self._db.execute("SELECT constant, value FROM enums WHERE name = ?", (name,)))

    def function(self, name: str, file: str | None = None) -> list[FunctionRow]:
        """All functions of that name: static functions may share one."""
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM functions WHERE name = ? ORDER BY file", (name,))
        return [row for row in map(_function, rows) if file is None or row.file == file]

    def end_of(self, name: str, file: str) -> int:
        """The last line of a function's definition, 0 if it has none in the tree."""
        query = "SELECT max(end) FROM functions WHERE name = ? AND file = ?"
        return int(self._db.execute(query, (name, file)).fetchone()[0] or 0)

    def functions(self) -> dict[int, FunctionRow]:
        """Every function by id."""
        return {row[0]: _function(row) for row in self._db.execute(f"SELECT {_COLUMNS} FROM functions")}

    def function_by_id(self, number: int) -> FunctionRow:
        """The function with that id."""
        if number not in self._rows:
            query = f"SELECT {_COLUMNS} FROM functions WHERE id = ?"
            self._rows[number] = _function(self._db.execute(query, (number,)).fetchone())
        return self._rows[number]

    def names(self, like: str) -> list[str]:
        """Names of functions that contain `like`, for suggestions."""
        pattern = "%" + like.replace("%", "").replace("_", r"\_") + "%"
        query = (
            r"SELECT DISTINCT name FROM functions WHERE name LIKE ? ESCAPE '\' ORDER BY length(name) LIMIT 8"
        )
        return self._column(query, pattern)

    def callees(self, number: int) -> list[Edge]:
        """Edges out of a function, in the order of its lines."""
        if number not in self._callees:
            query = "SELECT * FROM edges WHERE caller = ? ORDER BY line"
            self._callees[number] = self._edges(query, (number,))
        return self._callees[number]

    def callers(self, number: int) -> list[Edge]:
        """Edges into a function."""
        return self._edges("SELECT * FROM edges WHERE callee = ? ORDER BY file, line", (number,))

    def runnable(self, functions: Iterable[int]) -> frozenset[int]:
        """The functions that these can cause to run, including themselves: see `qtrace.index.mentions`."""
        query = (
            "WITH RECURSIVE runs (id) AS (SELECT value FROM json_each(?) "
            "UNION SELECT other FROM mentions JOIN runs ON function = id) SELECT id FROM runs"
        )
        return frozenset(self._column(query, json.dumps(list(functions))))

    def functions_in(self, files: Sequence[str]) -> list[int]:
        """The functions that are defined in these files."""
        query = "SELECT id FROM functions WHERE file IN (SELECT value FROM json_each(?)) ORDER BY id"
        return self._column(query, json.dumps(list(files)))

    def files_with(self, functions: Iterable[int]) -> list[str]:
        """The files in which these functions are defined."""
        query = (
            "SELECT DISTINCT file FROM functions WHERE id IN (SELECT value FROM json_each(?)) "
            "AND file IS NOT NULL ORDER BY file"
        )
        return self._column(query, json.dumps(list(functions)))

    def given(self, caller: int) -> list[tuple[int, int, str, str, int]]:
        """(callee, argument, what, value, line) of the arguments that a function passes: `function`s (the
        value is an id) and its own `param`eters (their numbers)."""
        query = (
            "SELECT callee, argument, what, value, line FROM passes WHERE caller = ? "
            "AND what IN ('function', 'param') ORDER BY line, argument"
        )
        return list(self._db.execute(query, (caller,)))

    def kept_by(self, caller: int) -> list[tuple[str, int, str, int]]:
        """(`Struct.field`, function, file, line) of the functions that a function stores in fields."""
        query = (
            "SELECT field, value, file, line FROM registrations WHERE caller = ? AND what = 'function' "
            "AND named = 1 AND rule != 'table' ORDER BY line"
        )
        return [(field, int(v), file, line) for field, v, file, line in self._db.execute(query, (caller,))]

    def unresolved(self, number: int | None = None) -> list[tuple[str, str, int, str]]:
        """(caller, file, line, target) of indirect calls without a known target."""
        where = "" if number is None else "WHERE caller = ?"
        query = (
            "SELECT f.name, u.file, u.line, u.target FROM unresolved u "
            f"JOIN functions f ON f.id = u.caller {where} ORDER BY u.file, u.line"
        )
        return list(self._db.execute(query, () if number is None else (number,)))

    def registrations(self, owner: str) -> list[tuple[str, str, str, str, int]]:
        """(what, value, rule, file, line) of all values of `Struct.field`."""
        query = "SELECT what, value, rule, file, line FROM registrations WHERE field = ? ORDER BY file, line"
        return list(self._db.execute(query, (owner,)))

    def registered(self, owner: str) -> list[tuple[int, int, str, int]]:
        """(function, id of the function that stores it or 0, file, line) of all functions in
        `Struct.field`."""
        query = (
            "SELECT value, caller, file, line FROM registrations WHERE field = ? AND what = 'function' "
            "ORDER BY rowid"
        )
        rows = self._db.execute(query, (owner,))
        return [(int(value), caller or 0, file, line) for value, caller, file, line in rows]

    def fields_with(self, function: int) -> list[tuple[str, str, int]]:
        """(`Struct.field`, file, line) of all fields that hold the function."""
        query = (
            "SELECT field, file, line FROM registrations WHERE what = 'function' AND value = ? ORDER BY rowid"
        )
        return list(self._db.execute(query, (str(function),)))

    def stored_functions(self) -> list[tuple[int, str, str, int]]:
        """(function, `Struct.field`, file, line) of every field that holds a function."""
        query = "SELECT value, field, file, line FROM registrations WHERE what = 'function' ORDER BY rowid"
        return [(int(value), *place) for value, *place in self._db.execute(query)]

    def functions_in_tables(self) -> list[tuple[int, str, str, str, int]]:
        """(function, `Struct.field`, variable, file, line) of every table's field with a function."""
        query = (
            "SELECT value, struct || '.' || field, variable, file, line FROM tables WHERE what = 'function'"
        )
        return [(int(value), *place) for value, *place in self._db.execute(query)]

    def unresolved_counts(self) -> dict[int, int]:
        """Function -> the number of its indirect calls without a known target, where there are any."""
        return dict(self._db.execute("SELECT caller, count(*) FROM unresolved GROUP BY caller"))

    def registrars(self, owner: str) -> set[tuple[str, int]]:
        """(value, id of the function that stores it) of all values of `Struct.field`."""
        query = "SELECT value, caller FROM registrations WHERE field = ? AND caller IS NOT NULL"
        return set(self._db.execute(query, (owner,)))

    def files_calling(self, file: str) -> set[str]:
        """The files whose functions call one of this file's functions, directly or through pointers."""
        query = (
            "SELECT DISTINCT f.file FROM functions g JOIN edges e ON e.callee = g.id "
            "JOIN functions f ON f.id = e.caller WHERE g.file = ? AND f.file IS NOT NULL"
        )
        return {*self._column(query, file)} - {file}

    def registrations_in(self, files: Sequence[str]) -> list[tuple[str, str, str, str, int]]:
        """(field, what, value, file, line) of all values that these files store."""
        marks = ", ".join("?" * len(files))
        query = f"SELECT field, what, value, file, line FROM registrations WHERE file IN ({marks})"
        return list(self._db.execute(query, tuple(files)))

    def tables(
        self, struct: str, fields: Sequence[str] = ()
    ) -> list[tuple[str, str, str, str, str, str, int]]:
        """(variable, row, field, what, value, file, line) of the initialised fields of a struct's tables."""
        more = f" AND field IN ({', '.join('?' * len(fields))})" if fields else ""
        query = 'SELECT variable, "row", field, what, value, file, line FROM tables WHERE struct = ?'
        return list(self._db.execute(query + more + " ORDER BY file, line", (struct, *fields)))

    def tables_naming(self, what: str, value: str) -> list[tuple[str, str, str, str, int]]:
        """(variable, struct, field, file, line) of table fields with that value."""
        query = "SELECT variable, struct, field, file, line FROM tables WHERE what = ? AND value = ?"
        return list(self._db.execute(query, (what, value)))

    def tables_in(self, file: str) -> list[tuple[str, str, str, str, str, str, int]]:
        """(variable, row, struct, field, what, value, line) of one file's tables."""
        query = 'SELECT variable, "row", struct, field, what, value, line FROM tables WHERE file = ?'
        return list(self._db.execute(query, (file,)))

    def passes(self) -> list[tuple[int, int, int, str, str, int]]:
        """(caller, callee, argument, what, value, line) of every function, variable, string or own parameter
        that is passed as an argument."""
        return list(self._db.execute("SELECT caller, callee, argument, what, value, line FROM passes"))

    def uses(self) -> list[tuple[int, str, str]]:
        """(function, what, value) of the strings and trace points of every body, and `splits`."""
        return list(self._db.execute("SELECT function, what, value FROM uses"))

    def cells(self) -> list[tuple[str, str, int, int, str, str]]:
        """(variable, file, offset, size, what, value) of every static table, as in memory."""
        return list(self._db.execute('SELECT variable, file, "offset", size, what, value FROM cells'))

    def calls(self) -> list[tuple[int, int, int]]:
        """(caller, callee, number of calls) of all direct calls, and of calls through a variable of the
        caller that never holds another function: a compiler makes them direct."""
        query = (
            "SELECT caller, callee, count(*) FROM edges WHERE kind = 'direct' "
            "OR (kind = 'assignment' AND confidence = 'exact' AND field LIKE 'c:%') GROUP BY caller, callee"
        )
        return list(self._db.execute(query))

    def assigned(self) -> list[tuple[int, str, int]]:
        """(function that assigns, `Struct.field`, function) of every function that is assigned."""
        query = (
            "SELECT DISTINCT caller, field, value FROM registrations "
            "WHERE rule = 'assignment' AND what = 'function' AND caller IS NOT NULL"
        )
        return [(caller, field, int(value)) for caller, field, value in self._db.execute(query)]

    def structs_with(self, type_name: str) -> list[str]:
        """Structs that have a field of that type by value."""
        return self._column("SELECT name FROM structs WHERE type = ?", type_name)

    def backends(self) -> list[tuple[str, str | None, str, int | None, str, int]]:
        """(driver, guard, init function's name, its id, file, line) in the order of the init table."""
        query = "SELECT driver, guard, init, function, file, line FROM backends ORDER BY line"
        return list(self._db.execute(query))

    def client_tables(self) -> list[ClientTable]:
        """Every static `NetClientInfo` of the tree."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for variable, _, name, what, value, file, line in self.tables("NetClientInfo"):
            entry = found.setdefault((variable, file), {"callbacks": {}, "type": "", "size": ""})
            if what == "function":
                entry["callbacks"][name] = (self.function_by_id(int(value)), line)
            elif name in ("type", "size"):
                entry[name] = value
        lines = {
            (name, file): line
            for name, file, line in self._db.execute("SELECT name, file, line FROM variables")
        }
        return [
            ClientTable(variable, file, lines.get((variable, file), 0), e["type"], e["size"], e["callbacks"])
            for (variable, file), e in found.items()
        ]

    def errors_in(self, files: Sequence[str]) -> list[tuple[str, str]]:
        """(file, clang's errors) of those of these files that clang could not parse without an error."""
        marks = ", ".join("?" * len(files))
        query = f"SELECT file, errors FROM files WHERE errors != '' AND file IN ({marks}) ORDER BY file"
        return list(self._db.execute(query, tuple(files)))

    def built_with(self, file: str) -> tuple[str, bool]:
        """The configuration symbols of a file's condition, and whether the build for which the index was made
        compiles it; an index without a build includes every file."""
        row = self._db.execute("SELECT kconfig, flags FROM files WHERE file = ?", (file,)).fetchone()
        builds = self._db.execute("SELECT count(*) FROM files WHERE flags LIKE 'build%'").fetchone()[0]
        return (row[0], not builds or row[1].startswith("build")) if row else ("", True)

    def indexed_files(self) -> list[str]:
        """The C files of the index, in order."""
        return self._column("SELECT file FROM files ORDER BY file")

    def flags_of(self, file: str) -> str:
        """The name of the flags with which a file was parsed: `common`, a target's, a build's."""
        row = self._db.execute("SELECT flags FROM files WHERE file = ?", (file,)).fetchone()
        return str(row[0])

    def inputs(self) -> list[tuple[str, int, int, str]]:
        """(name, size, mtime in ns, SHA-256) of every file from which the index was made."""
        return list(self._db.execute("SELECT name, size, mtime_ns, sha256 FROM inputs"))

    def content_of(self, path: Path) -> str:
        """The SHA-256 that a file had when it was read; empty for a file that was not read."""
        row = self._db.execute("SELECT sha256 FROM inputs WHERE name = ?", (str(path),)).fetchone()
        return row[0] if row else ""

    def counts(self) -> dict[str, int]:
        """The numbers of files, functions, edges by kind, and unresolved calls."""
        one = self._db.execute(
            "SELECT (SELECT count(*) FROM files), (SELECT count(*) FROM functions WHERE file != ''), "
            "(SELECT count(*) FROM edges), (SELECT count(*) FROM edges WHERE kind != 'direct'), "
            "(SELECT count(DISTINCT file || ':' || line) FROM edges WHERE kind != 'direct'), "
            "(SELECT count(*) FROM unresolved)"
        ).fetchone()
        keys = ("files", "functions", "calls", "indirect", "indirect_sites", "unresolved")
        return dict(zip(keys, one, strict=True))

    def _column(self, query: str, *arguments: object) -> list[Any]:
        return [value for (value,) in self._db.execute(query, arguments)]

    def _edges(self, query: str, arguments: tuple[object, ...]) -> list[Edge]:
        return [_edge(row) for row in self._db.execute(query, arguments)]


def _edge(row: Sequence[Any]) -> Edge:
    caller, callee, file, line, kind, rule, name, why, sure, loop, parameter = row
    evidence = tuple((place, number, text) for place, number, text in json.loads(why))
    return Edge(caller, callee, file, line, kind, rule, name, evidence, sure, bool(loop), parameter)


def _function(row: Sequence[Any]) -> FunctionRow:
    return FunctionRow(row[0], row[1], row[2] or "", row[3] or 0, bool(row[4]))


def has_current() -> bool:
    """Whether there is a default index, made by any release of qtrace."""
    folder = cache_dir("indexes")
    try:
        return (folder / (folder / "current").read_text().strip()).is_file()
    except OSError:
        return False


def mark_current(path: Path) -> None:
    """Make `path` the index that `open_index()` opens."""
    current = cache_dir("indexes") / "current"
    beside = current.with_name(f".current.{os.getpid()}")
    beside.write_text(path.name)
    beside.replace(current)
