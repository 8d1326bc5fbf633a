"""The facts of one translation unit, as plain tuples that travel between processes.

A function is identified by its USR, clang's name that distinguishes static functions of different files.
`value` of a `Pass` or `Store` is a USR, the name of a variable or a field, or the number of a parameter.
`what` tells which: `function`, `variable`, `field`, `param`, `made` (the result of a call with the function
`value` as an argument), `address` (of the field `value`), `out` (the callee stores the field `value` through
the parameter with which `owner` starts), `enum`, `sizeof`, `string`, `number`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

__all__ = [
    "Call",
    "Cell",
    "Facts",
    "Function",
    "Pass",
    "Store",
    "Struct",
    "Use",
    "facts_from_json",
    "facts_to_json",
]


class Function(NamedTuple):
    """A definition. `file` is relative to the tree."""

    usr: str
    name: str
    file: str
    line: int
    end: int
    static: bool
    signature: str
    guard: str | None


class Call(NamedTuple):
    """A call in `caller`'s body. `kind`: `direct` (target is a USR), `field` (`Struct.field`),
    `variable` (an array of function pointers by name), `param` (number), `unknown`. `loop` tells whether the
    call is in a loop of the caller."""

    caller: str
    kind: str
    target: str
    file: str
    line: int
    loop: bool = False


class Pass(NamedTuple):
    """A recorded argument of a call: a function, a table, a field, or a parameter that is passed on."""

    caller: str
    callee: str
    argument: int
    what: str
    value: str
    file: str
    line: int


class Store(NamedTuple):
    """`owner` (`Struct.field`, or a variable's name for an array) gets the value `value`.

    `variable` and `row` name the table for an initialiser. Both are empty for an assignment, and `caller` is
    then the function that contains it.
    """

    owner: str
    what: str
    value: str
    variable: str
    row: str
    caller: str
    file: str
    line: int


class Use(NamedTuple):
    """`caller`'s body has a string (as in C, without quotes) or a trace point: `what` is `string` or `trace`.
    `splits`: the body begins with a test that may end the function; the value has the offsets in bytes of the
    tested fields. `rarely`: the same, but a second test must end the function. `fields`: the offsets in bytes
    of the fields that the body uses through pointers."""

    caller: str
    what: str
    value: str


class Cell(NamedTuple):
    """`size` bytes at `offset` in a static table hold a `number`, a pointer to a `function` (USR), `variable`
    or `string`, or content that cannot be computed (`unknown`). `whole` has the table's size."""

    variable: str
    file: str
    offset: int
    size: int
    what: str
    value: str


class Struct(NamedTuple):
    """`fields`: (name, offset in bytes, size in bytes, type)."""

    name: str
    size: int
    fields: tuple[tuple[str, int, int, str], ...]


@dataclass
class Facts:
    """All facts of one file. `errors` are the first of clang's errors."""

    file: str
    flags: str
    errors: list[str] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)
    external: dict[str, str] = field(default_factory=dict)  # USR -> name, called but not defined here
    calls: list[Call] = field(default_factory=list)
    passes: list[Pass] = field(default_factory=list)
    stores: list[Store] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    structs: list[Struct] = field(default_factory=list)
    enums: list[tuple[str, str, int]] = field(default_factory=list)
    variables: list[tuple[str, str, str, int]] = field(default_factory=list)  # name, type, file, line
    includes: list[str] = field(default_factory=list)  # names as clang has them
    # (header, unit): the facts of the header's declarations are left out here; the other unit has them
    relied: list[tuple[str, str]] = field(default_factory=list)


_ROWS: dict[str, Any] = {
    "functions": Function._make,
    "calls": Call._make,
    "passes": Pass._make,
    "stores": Store._make,
    "uses": Use._make,
    "cells": Cell._make,
    "structs": lambda row: Struct(row[0], row[1], tuple(map(tuple, row[2]))),
    "enums": tuple,
    "variables": tuple,
    "relied": tuple,
}


_STORED = tuple(item for item in fields(Facts) if item.name != "includes")


def facts_to_json(facts: Facts) -> str:
    """The facts as one line of JSON, without `includes`: their names depend on where the tree is."""
    values = {item.name: getattr(facts, item.name) for item in _STORED}
    return json.dumps(values, check_circular=False)


def facts_from_json(text: str, includes: list[str]) -> Facts:
    """The facts from the result of `facts_to_json`. Raises ValueError, TypeError or KeyError for other
    text."""
    data = json.loads(text)
    values = {item.name: data[item.name] for item in _STORED}
    values |= {name: [make(row) for row in values[name]] for name, make in _ROWS.items()}
    return Facts(**values, includes=includes)
