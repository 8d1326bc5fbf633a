"""Places in an index's tree as links to the public repository, kept as plain data."""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import escape

from qtrace.post.source_links import SourceLinks
from qtrace.store.index import Index

__all__ = ["SourceFile", "SourcePlaces", "find_sources", "lines_and_starts", "read_places", "shown_lines"]

_LARGEST_PART = 290_000  # bytes of the lines of one page, which has some more around them
_AROUND_LINE = 26  # bytes of a line's number and its anchor


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
    have no line where the index had one. `starts`: the first line of each of its pages."""

    path: str
    lines: int
    starts: tuple[int, ...]
    changed: bool

    def part_of(self, line: int) -> int:
        """The number of the page that has the line, from 1."""
        return bisect.bisect_right(self.starts, line)


def lines_and_starts(content: bytes) -> tuple[int, tuple[int, ...]]:
    """How many lines a file has, and the first line of each page: none is larger than a page may be."""
    lines, starts, size = shown_lines(content), [1], 0
    for number, line in enumerate(lines, 1):
        more = len(escape(line).encode(errors="replace")) + _AROUND_LINE
        if size and size + more > _LARGEST_PART:
            starts.append(number)
            size = 0
        size += more
    return len(lines), tuple(starts)


def shown_lines(content: bytes) -> list[str]:
    """The lines of a file as a page has them."""
    return [line.expandtabs(8) for line in content.decode(errors="replace").split("\n")]


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
            changed = bool(known) and not same
            found[file] = SourceFile(str(path), *lines_and_starts(content), changed)
    return found
