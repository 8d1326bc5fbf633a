"""The three notations of a value: QemuOpts, keyval, JSON (util/qemu-option.c, util/keyval.c)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from qtrace.errors import RefusedLine
from qtrace.explain.words import Option

__all__ = ["Opts", "parse_json", "parse_keyval", "parse_opts", "wellformed"]

_ID = re.compile(r"[A-Za-z][A-Za-z0-9._-]*\Z")
_NAME = re.compile(r"(?:__[A-Za-z0-9._-]*_|)[A-Za-z][A-Za-z0-9_-]*\Z")
_MARK = re.compile("[=,]")
_INDEX = re.compile(r"\d+\Z")
_DEEPEST = 32


@dataclass(slots=True)
class Opts:
    """One option's parsed value: pairs in their order, without `id`; or `data`, if it is nested."""

    option: Option
    id: str | None
    pairs: list[tuple[str, str]] = field(default_factory=list)
    data: dict[str, Any] | None = None
    is_json: bool = False
    flags: tuple[str, ...] = ()  # written without a value

    def get(self, name: str) -> str | None:
        """The last value with that name."""
        if self.data is not None:
            value = self.data.get(name)
            return value if value is None or isinstance(value, str) else json.dumps(value)
        return next((value for key, value in reversed(self.pairs) if key == name), None)

    def put(self, name: str, value: str) -> None:
        """Append a value, as `-set` does: the last one counts."""
        self.pairs.append((name, value))

    def take(self, name: str) -> str | None:
        """`get`, and remove all values with that name."""
        value = self.get(name)
        self.pairs = [pair for pair in self.pairs if pair[0] != name]
        return value


def wellformed(name: str) -> bool:
    """Whether the text is a valid id (util/id.c)."""
    return bool(_ID.match(name))


def parse_opts(option: Option, implied: str) -> Opts:
    """A value in QemuOpts' notation: `tap,id=n0,vhost=on`. `implied`: the parameter that its first word sets,
    empty if the word must have a name. Raises RefusedLine.
    """
    text = option.value or ""
    found = list(_pieces(text, implied or None))
    # QEMU searches all pieces for an id, even if the first one is another parameter's value.
    name = next((value for key, value, _ in _pieces(text, None) if key == "id"), None)
    if name is not None and not wellformed(name):
        raise RefusedLine(
            f"{option}: the id {name!r} is no identifier",
            hint="an id begins with a letter and goes on with letters, digits, '-', '.' and '_'",
        )
    if any(flag and key in ("help", "?") for key, _, flag in found):
        raise RefusedLine(f"{option}: this asks QEMU for its help, and starts no guest")
    pairs = [(key, value) for key, value, _ in found if key != "id"]
    return Opts(option, name, pairs, flags=tuple(key for key, _, flag in found if flag))


def _pieces(text: str, implied: str | None) -> list[tuple[str, str, bool]]:
    """(name, value, whether it was written without a value), split as in `get_opt_name_value`."""
    found, place = [], 0
    while place < len(text):
        mark = _MARK.search(text, place)
        end = mark.start() if mark else len(text)
        flag = False
        if end < len(text) and text[end] == "=":
            name = text[place:end]
            value, place = _value(text, end + 1)
        elif implied is not None:
            name = implied
            value, place = _value(text, place)
        else:
            name, place, flag = text[place:end], end, True
            name, value = (name[2:], "off") if name.startswith("no") else (name, "on")
        found.append((name, value, flag))
        implied = None
        place += 1  # the comma
    return found


def _value(text: str, place: int) -> tuple[str, int]:
    """(value, position of the comma behind it): a comma in a value is doubled."""
    parts = []
    while True:
        end = text.find(",", place)
        end = len(text) if end < 0 else end
        if text[end : end + 2] == ",,":
            parts.append(text[place : end + 1])
            place = end + 2
            continue
        parts.append(text[place:end])
        return "".join(parts), end


def parse_keyval(option: Option, implied: str) -> dict[str, Any]:
    """A value in keyval notation, `stream,id=s,addr.type=inet`: nested, of texts. Raises RefusedLine."""
    found: dict[str, Any] = {}
    text, place, first = option.value or "", 0, True
    while place < len(text):
        mark = _MARK.search(text, place)
        end = mark.start() if mark else len(text)
        if end == len(text) or text[end] == ",":
            piece = text[place:end]
            if piece in ("help", "?"):
                raise RefusedLine(f"{option}: this asks QEMU for its help, and starts no guest")
            if not (first and piece):
                raise RefusedLine(f"{option}: a '=' and a value must follow {piece!r}")
            key, value, place = implied, piece, end
        else:
            key = text[place:end]
            value, place = _value(text, end + 1)
        _put(option, found, key, value)
        first = False
        place += 1
    return {key: _lists(option, value) for key, value in found.items()}


def _put(option: Option, into: dict[str, Any], key: str, value: str) -> None:
    parts = key.split(".")
    for number, part in enumerate(parts):
        if not (_NAME.match(part) or (number and _INDEX.match(part))) or len(part) > 127:
            raise RefusedLine(f"{option}: {key!r} is no name of a parameter")
    if len(parts) > _DEEPEST:
        raise RefusedLine(f"{option}: {key[:40]!r} is nested too deeply")
    for part in parts[:-1]:
        inner = into.setdefault(part, {})
        if not isinstance(inner, dict):
            raise RefusedLine(f"{option}: {key!r} is used both with and without what follows a dot")
        into = inner
    if isinstance(into.get(parts[-1]), dict):
        raise RefusedLine(f"{option}: {key!r} is used both with and without what follows a dot")
    into[parts[-1]] = value


def _lists(option: Option, data: Any) -> Any:
    """Turn dictionaries with numeric keys into lists, as `keyval_listify` does."""
    if not isinstance(data, dict):
        return data
    inner = {key: _lists(option, value) for key, value in data.items()}
    numbers = [key for key in inner if _INDEX.match(key)]
    if not numbers:
        return inner
    if len(numbers) != len(inner) or sorted(map(int, numbers)) != list(range(len(inner))):
        raise RefusedLine(f"{option}: the elements of a list are numbered from 0, without a gap")
    return [inner[key] for key in sorted(inner, key=int)]


def parse_json(option: Option) -> dict[str, Any]:
    """A JSON value, which begins with a brace. Raises RefusedLine."""
    text = option.value or ""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise RefusedLine(
            f"{option}: this begins as JSON and is none: {exc}",
            hint="in a shell, put the whole value into single quotes",
        ) from exc
    assert isinstance(data, dict)  # it begins with a brace
    return data
