"""What one translation unit says, as plain tuples that travel between processes.

A function is known by its USR, clang's name for it that tells statics of different files apart.
`value` of a `Pass` or `Store` is a USR, a variable's or a field's name, or a parameter's number,
as `what` says: `function`, `variable`, `field`, `param`, `made` (the result of a call that was given
the function `value`), `address` (of the field `value`), `out` (the field `value` is what the caller gets
through the parameter that `owner` starts with), `enum`, `sizeof`, `string`, `number`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Call", "Facts", "Function", "Pass", "Store", "Struct"]


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
    `variable` (an array of function pointers by name), `param` (number), `unknown`."""

    caller: str
    kind: str
    target: str
    file: str
    line: int


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
    structs: list[Struct] = field(default_factory=list)
    enums: list[tuple[str, str, int]] = field(default_factory=list)
    variables: list[tuple[str, str, str, int]] = field(default_factory=list)  # name, type, file, line
