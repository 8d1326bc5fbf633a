"""What one translation unit says, as plain tuples that travel between processes.

A function is known by its USR, clang's name for it that tells statics of different files apart.
`value` of a `Pass` or `Store` is a USR, a variable's or a field's name, or a parameter's number,
as `what` says: `function`, `variable`, `field`, `param`, `made` (the result of a call that was given
the function `value`), `address` (of the field `value`), `out` (the field `value` is what the caller gets
through the parameter that `owner` starts with), `enum`, `sizeof`, `string`, `number`.
"""

from __future__ import annotations

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
    `variable` (an array of function pointers by name), `param` (number), `unknown`. `loop` is whether it
    stands in a loop of the caller's."""

    caller: str
    kind: str
    target: str
    file: str
    line: int
    loop: bool = False


class Pass(NamedTuple):
    """An argument of a call that matters: a function, a table, a field, a parameter handed on."""

    caller: str
    callee: str
    argument: int
    what: str
    value: str
    file: str
    line: int


class Store(NamedTuple):
    """`owner` (`Struct.field`, or a variable's name for an array) is given `value`.

    `variable` and `row` name the table for an initialiser; both are empty for an assignment, which
    has the function it stands in as `caller`.
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
    With `splits` it begins with a test that may end it, of fields that lie as far from their struct's
    beginning, with `rarely` with one that needs another to end it; `fields` has the distances in bytes at
    which it reaches into what a pointer leads to."""

    caller: str
    what: str
    value: str


class Cell(NamedTuple):
    """`size` bytes at `offset` in a static table hold a `number`, or a pointer to a `function` (USR),
    `variable` or `string`; or nobody knows what (`unknown`). `whole` has the table's size."""

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
    """Everything that one file contributes. `errors` are clang's own, first ones only."""

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
    includes: list[str] = field(default_factory=list)  # as clang names them
    # (header, unit): declarations of the header are left out, they are among that unit's facts
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


def facts_to_json(facts: Facts) -> dict[str, Any]:
    """As JSON keeps it: tuples become lists."""
    return {item.name: getattr(facts, item.name) for item in fields(Facts)}


def facts_from_json(data: Any) -> Facts:
    """What `facts_to_json` gave. Raises ValueError, TypeError or KeyError for anything else."""
    values = {item.name: data[item.name] for item in fields(Facts)}
    return Facts(**values | {name: [make(row) for row in values[name]] for name, make in _ROWS.items()})
