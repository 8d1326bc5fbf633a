"""The parts of QEMU's core that frames pass between a NIC and a back end, each one file in parts/.

A file has the words, in each language, and names of functions, structs and callback fields. What a release
has of these comes from its index, and what it lacks is left out.
"""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from qtrace.errors import StoreError
from qtrace.store.index import Index

__all__ = ["Part", "PartFacts", "load_parts", "read_parts"]


@dataclass(frozen=True, slots=True)
class Part:
    """`title` and `about` (paragraphs, with `code` marks) are by language; `roles` are (function, its role by
    language), in the order in which a frame meets them."""

    name: str
    title: dict[str, str]
    about: dict[str, tuple[str, ...]]
    roles: tuple[tuple[str, dict[str, str]], ...]
    structs: tuple[str, ...]
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PartFacts:
    """What one release has of a part. `functions`: name -> (file, line); `structs`: name -> (field, offset,
    size, type) and the size; `fields`: `Struct.field` -> (function, file of its definition, file, line where
    it is stored)."""

    name: str
    functions: dict[str, tuple[str, int]]
    structs: dict[str, tuple[tuple[tuple[str, int, int, str], ...], int]]
    fields: dict[str, tuple[tuple[str, str, str, int], ...]]

    @property
    def names(self) -> set[str]:
        """Every function that its page names."""
        return {*self.functions, *(name for rows in self.fields.values() for name, *_ in rows)}

    def places(self) -> Iterator[tuple[str, int]]:
        """Every place that its page names."""
        yield from self.functions.values()
        yield from ((file, line) for rows in self.fields.values() for _, _, file, line in rows)


def load_parts() -> list[Part]:
    """Every part, in the order that their files give."""
    found = []
    for place in (resources.files("qtrace.atlas") / "parts").iterdir():
        if place.name.endswith(".toml"):
            raw: dict[str, Any] = tomllib.loads(place.read_text(encoding="utf-8"))
            roles = tuple((item.pop("name"), item) for item in raw.get("function", ()))
            about = {name: tuple(text.strip().split("\n\n")) for name, text in raw["about"].items()}
            name = place.name.removesuffix(".toml")
            listed = tuple(raw.get("structs", ())), tuple(raw.get("fields", ()))
            found.append((raw["order"], Part(name, raw["title"], about, roles, *listed)))
    return [part for _, part in sorted(found, key=lambda item: item[0])]


def read_parts(index: Index, parts: Sequence[Part]) -> Iterator[PartFacts]:
    """What this index has of each part."""
    for part in parts:
        functions = {}
        for name, _ in part.roles:
            rows = [row for row in index.function(name) if row.line]
            if rows:
                functions[name] = (rows[0].file, rows[0].line)
        yield PartFacts(part.name, functions, _structs(index, part.structs), _fields(index, part.fields))


def _structs(
    index: Index, names: Iterable[str]
) -> dict[str, tuple[tuple[tuple[str, int, int, str], ...], int]]:
    found = {}
    for name in names:
        with contextlib.suppress(StoreError):  # this release has no such struct
            fields, total = index.struct(name)
            rows = tuple((label, *place) for label, place in fields.items())
            found[name] = (tuple(sorted(rows, key=lambda row: row[1])), total)
    return found


def _fields(index: Index, owners: Iterable[str]) -> dict[str, tuple[tuple[str, str, str, int], ...]]:
    found = {}
    for owner in owners:
        rows = []
        for number, _, file, line in index.registered(owner):
            function = index.function_by_id(number)
            rows.append((function.name, function.file, file, line))
        if rows:
            found[owner] = tuple(dict.fromkeys(rows))
    return found
