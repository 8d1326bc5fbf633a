"""Places in an index's tree as links to the public repository, kept as plain data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from qtrace.post.source_links import SourceLinks
from qtrace.store.index import Index

__all__ = ["SourceFile", "SourcePlaces", "find_sources", "read_places"]


@dataclass(frozen=True, slots=True)
class SourcePlaces:
    """(file, line) -> the address of that line, or of the file where the distribution made the line."""

    urls: dict[tuple[str, int], str]

    def url(self, file: str, line: int) -> str:
        """The address, or nothing for a place that no public repository has."""
        return self.urls.get((file, line), "")


def read_places(index: Index, places: Iterable[tuple[str, int]]) -> SourcePlaces:
    """The addresses of these places."""
    links = SourceLinks(index)
    found = {}
    for file, line in sorted(set(places)):
        if file and (url := links.place("", file, line).url):
            found[file, line] = url
    return SourcePlaces(found)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of the user's own tree; `changed` tells whether it has changed since it was indexed, and may
    have no line where the index had one."""

    path: str
    lines: int
    changed: bool


def find_sources(index: Index, files: Iterable[str]) -> dict[str, SourceFile]:
    """Those of these files that the index's trees have, and no file outside of them."""
    found = {}
    for file in sorted(set(files) - {""}):
        root, name = index.place(file)
        path = (root / name).resolve()
        if path.is_relative_to(root.resolve()) and path.is_file():
            content = path.read_bytes()
            known = index.content_of(root / name)
            same = hashlib.sha256(content).hexdigest() == known
            found[file] = SourceFile(str(path), content.count(b"\n") + 1, bool(known) and not same)
    return found
