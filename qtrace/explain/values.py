"""Whether values fit the schema, by the rules of QEMU's two visitors.

`visit_opts` is qapi/opts-visitor.c (all values are text, the last one of a scalar counts), `visit_data` is
qapi/qobject-input-visitor.c (nested; typed for JSON, text for keyval).
"""

from __future__ import annotations

import re
from typing import Any

from qtrace.errors import RefusedLine
from qtrace.explain.opts import Opts
from qtrace.explain.releases import taken_by
from qtrace.explain.schema import Member, Schema

__all__ = ["number", "size", "truth", "visit_data", "visit_opts"]

_TRUE, _FALSE = ("on", "yes", "true", "y"), ("off", "no", "false", "n")
_BITS = re.compile(r"(u?)int(8|16|32|64)?\Z")
_SIZE = re.compile(r"(\d+(?:\.\d*)?|0[xX][0-9a-fA-F]+)([bBkKmMgGtTpPeE]?)\Z")
_INTEGER = re.compile(r"\s*([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9]\d*)\Z")
_UNITS = "bkmgtpe"


def truth(text: str) -> bool | None:
    """`on`, `off` and their synonyms; None for other text."""
    return True if text in _TRUE else False if text in _FALSE else None


def number(text: str) -> int | None:
    """The number, by the rules of strtoll with base 0; None for other text."""
    match = _INTEGER.match(text)
    if not match:
        return None
    digits = match[2]
    base = 16 if digits[:2] in ("0x", "0X") else 8 if digits.startswith("0") and len(digits) > 1 else 10
    value = int(digits, base)
    return -value if match[1] == "-" else value


def size(text: str) -> int | None:
    """The size in bytes, by the rules of qemu_strtosz: 64k, 1.5M."""
    match = _SIZE.match(text)
    if not match:
        return None
    unit = int(1024 ** _UNITS.index(match[2].lower() or "b"))
    if match[1][:2] in ("0x", "0X"):
        return int(match[1], 16) * unit
    whole = float(match[1]) * unit if "." in match[1] else int(match[1]) * unit
    return int(whole) if whole < 2**64 else None


def visit_opts(opts: Opts, schema: Schema, allowed: dict[str, tuple[str, str]]) -> tuple[str, list[str]]:
    """(type, names that are not options of it) of a `-netdev`, `-net` or `-nic`. `allowed`: as `netdevs`.

    Raises RefusedLine for a missing option or a value that does not fit.
    """
    kind = opts.get("type")
    if opts.id is None:
        raise RefusedLine(f"{opts.option}: it has no id", hint="add ,id=NAME: a device names it by that")
    if kind is None:
        raise RefusedLine(f"{opts.option}: the back end (type=) is missing")
    if kind not in allowed:
        names = ", ".join(sorted(allowed))
        raise RefusedLine(
            f"{opts.option}: there is no back end {kind!r}",
            hint=taken_by("netdev", kind) or f"there are {names}",
        )
    members = {item.name: item for item in schema.options_of(kind)}
    for name, item in members.items():
        given = [value for key, value in opts.pairs if key == name]
        if not given and not item.optional:
            raise RefusedLine(f"{opts.option}: {kind} needs {name}=")
        for value in given if item.many else given[-1:]:
            _check_text(opts, item, value)
    return kind, [key for key, _ in opts.pairs if key not in members and key != "type"]


def _check_text(opts: Opts, item: Member, value: str) -> None:
    if item.type == "bool" and truth(value) is None:
        raise RefusedLine(f"{opts.option}: {item.name} is either on or off, not {value!r}")
    if item.type == "size" and size(value) is None:
        raise RefusedLine(f"{opts.option}: {item.name} is a size such as 64k or 1M, not {value!r}")
    if _BITS.match(item.type):
        _check_number(str(opts.option), item, number(value), value)


def _check_number(where: str, item: Member, found: int | None, said: object) -> None:
    match = _BITS.match(item.type)
    assert match
    if found is None:
        raise RefusedLine(f"{where}: {item.name} is a whole number, not {said!r}")
    bits = int(match[2] or 64)
    low, high = (0, 2**bits) if match[1] else (-(2 ** (bits - 1)), 2 ** (bits - 1))
    if not low <= found < high:
        raise RefusedLine(f"{where}: {item.name} lies between {low} and {high - 1}; {found} does not")


def visit_data(
    where: str, data: dict[str, Any], name: str, schema: Schema, *, typed: bool, path: str = ""
) -> list[str]:
    """Names of `data` that type `name` does not have. Raises RefusedLine for values that do not fit."""
    entity = schema.entities[name]
    members = list(schema.members(name))
    if entity.discriminator:
        kind = data.get(entity.discriminator)
        tag = next(item for item in members if item.name == entity.discriminator)
        _visit(where, data, tag, schema, typed, path)
        branch, _ = entity.branches.get(str(kind), ("", ""))
        if branch in schema.entities:
            members += schema.members(branch)
    unknown = []
    for item in members:
        if item.name != entity.discriminator:
            unknown += _visit(where, data, item, schema, typed, path)
    known = {item.name for item in members}
    return unknown + [f"{path}{key}" for key in data if key not in known]


def _visit(
    where: str, data: dict[str, Any], item: Member, schema: Schema, typed: bool, path: str
) -> list[str]:
    full = f"{path}{item.name}"
    if item.name not in data:
        if item.optional:
            return []
        raise RefusedLine(f"{where}: {full} is missing")
    values = data[item.name]
    if not item.many:
        return _one(where, values, item, schema, typed, full)
    if not isinstance(values, list):
        raise RefusedLine(f"{where}: {full} is a list: {full}.0=…, {full}.1=…")
    found = []
    for number_, value in enumerate(values):
        found += _one(where, value, item, schema, typed, f"{full}.{number_}")
    return found


def _one(where: str, value: Any, item: Member, schema: Schema, typed: bool, full: str) -> list[str]:
    entity = schema.entities.get(item.type)
    if entity is not None and entity.kind != "enum":
        if not isinstance(value, dict):
            names = ", ".join(f"{full}.{member.name}" for member in schema.members(item.type))
            raise RefusedLine(f"{where}: {full} is made of {names}")
        return visit_data(where, value, item.type, schema, typed=typed, path=f"{full}.")
    if entity is not None:
        known = [member.name for member in entity.members]
        if value not in known:
            raise RefusedLine(f"{where}: {full} cannot be {value!r}", hint=f"it is one of {', '.join(known)}")
    else:
        _scalar(where, value, item, typed, full)
    return []


def _scalar(where: str, value: Any, item: Member, typed: bool, full: str) -> None:
    text = value if isinstance(value, str) else None
    if item.type == "str":
        _expect(where, full, text is not None, "text", value)
    elif item.type == "bool":
        fits = isinstance(value, bool) if typed else text is not None and truth(text) is not None
        _expect(where, full, fits, "true or false" if typed else "on or off", value)
    elif _BITS.match(item.type):
        if typed:
            _expect(where, full, isinstance(value, int) and not isinstance(value, bool), "a number", value)
        found = value if typed else number(text) if text is not None else None
        _check_number(where, item, found, value)
    elif item.type == "size":
        fits = isinstance(value, int) if typed else text is not None and size(text) is not None
        _expect(where, full, fits, "a size", value)


def _expect(where: str, full: str, fits: bool, what: str, value: object) -> None:
    if not fits:
        raise RefusedLine(f"{where}: {full} is {what}, not {value!r}")
