"""The QAPI schema of a tree, qapi/net.json and its includes: types, members and their documentation.

qtrace has its own parser for the small language of these files (docs/devel/qapi-code-gen.rst), because
nothing of the tree may be executed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from qtrace.errors import SourceError

__all__ = ["Entity", "Member", "Schema", "read_schema"]

_TOKEN = re.compile(r"\s*(?:#[^\n]*|(?P<text>'(?:[^'\\]|\\.)*')|(?P<word>true|false)|(?P<mark>[{}\[\]:,]))")
_ARGUMENT = re.compile(r"@([\w.-]+):\s*(.*)")
_SECTION = re.compile(
    r"(Since|Returns|Features|Notes?|Examples?|TODO|Errors|Arguments)\s*:|\.\. ", re.IGNORECASE
)
_INCLUDE = re.compile(r"\{\s*'include'\s*:\s*'([^']+)'")
_SINCE = re.compile(r"\s*\((?:[Ss]ince:?)\s*([\d.]+)\)\.?")
_DEFAULTS = (
    re.compile(r"\(default(?:s to|:| is)?\s*[:=]?\s*'?([^')]+?)'?(?: for enabled)?\)", re.IGNORECASE),
    re.compile(r"\bdefaults? (?:is|to) ('[^']+'|\S+?)[.,;)]?(?:\s|$)", re.IGNORECASE),
    re.compile(r",\s*default (\w+)", re.IGNORECASE),
)


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a struct. `type` is its type's name; `many` tells whether it is a list."""

    name: str
    type: str
    many: bool = False
    optional: bool = False
    meaning: str = ""
    default: str = ""
    since: str = ""
    deprecated: bool = False
    condition: str = ""
    file: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Entity:
    """A struct, union or enum. `branches`: value of `discriminator` -> (type, condition)."""

    name: str
    kind: str
    members: tuple[Member, ...]
    base: str
    discriminator: str
    branches: dict[str, tuple[str, str]]
    meaning: str
    file: str
    line: int


class Schema:
    """Every type by name."""

    def __init__(self, entities: dict[str, Entity]) -> None:
        self.entities = entities

    def members(self, name: str) -> list[Member]:
        """A struct's or union's own members, its base's first."""
        entity = self.entities[name]
        base = self.members(entity.base) if entity.base in self.entities else []
        return [*base, *entity.members]

    def netdevs(self) -> dict[str, tuple[str, str]]:
        """Back end -> (type of its options, condition); the type is empty for a back end without options."""
        known = {member.name: ("", member.condition) for member in self.entities["NetClientDriver"].members}
        return known | self.entities["Netdev"].branches

    def options_of(self, netdev: str) -> list[Member]:
        """The options of one back end."""
        kind, _ = self.netdevs().get(netdev, ("", ""))
        return self.members(kind) if kind in self.entities else []


@lru_cache(maxsize=4)
def read_schema(root: Path) -> Schema:
    """The networking part of a tree's schema. Raises SourceError if it cannot be read."""
    entities: dict[str, Entity] = {}
    seen: set[str] = set()
    waiting = ["qapi/net.json", "qapi/common.json", "qapi/qom.json"]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            text = (root / name).read_text(errors="replace")
        except OSError as exc:
            raise SourceError(
                f"the indexed tree no longer exists: {root / name}: {exc.strerror}",
                hint="make the index again: qtrace index",
            ) from exc
        if name != "qapi/qom.json":  # only the filters of this file are needed
            waiting += [f"qapi/{item}" for item in _INCLUDE.findall(text)]
        for entity in _entities(name, text):
            entities.setdefault(entity.name, entity)
    if "Netdev" not in entities or "NetClientDriver" not in entities:
        raise SourceError(f"{root}/qapi/net.json does not define Netdev")
    return Schema(entities)


def _entities(file: str, text: str) -> list[Entity]:
    found, doc, lines, number = [], "", text.split("\n"), 0
    while number < len(lines):
        line = lines[number]
        if line.startswith("##"):
            end = next((n for n in range(number + 1, len(lines)) if lines[n].startswith("##")), number)
            doc = "\n".join(item[2:] for item in lines[number + 1 : end])
            number = end + 1
        elif line.startswith("{"):
            end = number
            while end + 1 < len(lines) and not lines[end + 1].startswith(("{", "#")):
                end += 1
            entity = _entity(file, number, lines[number : end + 1], doc)
            found += [entity] if entity else []
            number, doc = end + 1, ""
        else:
            number += 1
    return found


def _entity(file: str, first: int, lines: list[str], doc: str) -> Entity | None:
    data = _parse("\n".join(lines))
    if not isinstance(data, dict):
        return None
    kind = next((name for name in ("struct", "union", "enum") if name in data), None)
    if kind is None:
        return None
    said, about = _documentation(doc)

    def line_of(member: str) -> int:
        quoted = re.compile(rf"'\*?{re.escape(member)}'")
        return first + 1 + next((n for n, line in enumerate(lines) if n and quoted.search(line)), 0)

    body = data.get("data")
    members: list[Member] = []
    if kind == "enum" and isinstance(body, list):
        for item in body:
            entry = item if isinstance(item, dict) else {"name": item}
            members.append(Member(str(entry.get("name")), "", condition=_condition(entry.get("if"))))
    elif kind == "struct" and isinstance(body, dict):
        members = [_member(key, value, said, file, line_of(key.lstrip("*"))) for key, value in body.items()]
    base = data.get("base", "")
    if isinstance(base, dict):
        members = [_member(key, value, said, file, line_of(key.lstrip("*"))) for key, value in base.items()]
        base = ""
    branches = {}
    if kind == "union" and isinstance(body, dict):
        for key, value in body.items():
            entry = value if isinstance(value, dict) else {"type": value}
            branches[key] = (str(entry.get("type", "")), _condition(entry.get("if")))
    name = str(data[kind])
    discriminator = str(data.get("discriminator", ""))
    return Entity(name, kind, tuple(members), str(base), discriminator, branches, about, file, first + 1)


def _member(key: str, value: Any, said: dict[str, str], file: str, line: int) -> Member:
    entry = value if isinstance(value, dict) else {"type": value}
    kind = entry.get("type", "")
    many = isinstance(kind, list)
    name = key.removeprefix("*")
    text = said.get(name, "")
    since = _SINCE.search(text)
    default = next((match[1].strip("'") for rule in _DEFAULTS if (match := rule.search(text))), "")
    features = entry.get("features", [])
    return Member(
        name=name,
        type=str(kind[0] if many else kind),
        many=many,
        optional=key.startswith("*"),
        meaning=_SINCE.sub("", text).strip(),
        default=default,
        since=since[1] if since else "",
        deprecated="deprecated"
        in [item.get("name") if isinstance(item, dict) else item for item in features],
        condition=_condition(entry.get("if")),
        file=file,
        line=line,
    )


def _condition(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _documentation(doc: str) -> tuple[dict[str, str], str]:
    """(member -> its text, the entity's first paragraph) of a documentation comment."""
    said: dict[str, list[str]] = {}
    about: list[str] = []
    into: list[str] | None = None
    for number, line in enumerate(doc.split("\n")):
        text = line.strip()
        if number == 0:
            into = about  # the line that names the entity
            continue
        if match := _ARGUMENT.match(text):
            into = said.setdefault(match[1], [])
            text = match[2]
        elif (
            _SECTION.match(text)
            or (not text and into is about and about)
            or (text and into and into is not about and not line.startswith(" "))  # about the entity
        ):
            into = None
        if into is not None and text:
            into.append(text)
    return {name: " ".join(lines) for name, lines in said.items()}, " ".join(about)


def _parse(text: str) -> Any:
    """One expression of the language: JSON with single quotes and comments. None for other text."""
    tokens: list[str] = []
    place = 0
    text = text.rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None or match.end() == place:
            return None
        place = match.end()
        if match["text"] is not None:
            tokens.append(json.dumps(match["text"][1:-1].replace("\\'", "'")))
        elif match["word"] or match["mark"]:
            tokens.append(match["word"] or match["mark"])
    try:
        return json.loads(" ".join(tokens))
    except ValueError:
        return None
