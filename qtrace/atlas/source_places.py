"""Places in an index's tree as links to the public repository, kept as plain data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from qtrace.post.source_links import SourceLinks
from qtrace.store.index import Index

__all__ = ["SourcePlaces", "read_places"]


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
