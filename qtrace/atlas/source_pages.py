"""The source files of a release, line by line, for the reader of the tree alone.

Only QEMU may distribute QEMU's source: these pages are written with `--source`, from the user's own tree.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qtrace.atlas.edition import Edition, Page
from qtrace.atlas.linking import Linker
from qtrace.atlas.permalinks import source_page
from qtrace.atlas.release_facts import Release
from qtrace.atlas.source_places import SourceFile, shown_lines

__all__ = ["source_pages"]


def source_pages(edition: Edition, release: Release) -> Iterator[Page]:
    """A page for each file that some page names, and more for a long one."""
    for file in release.sources:
        for part, _ in enumerate(release.sources[file].starts, 1):
            values = functools.partial(_values, release, file, part)
            yield Page(source_page(file, part), file, "source.html.j2", values, (), release)


def _values(release: Release, file: str, part: int, link: Linker) -> dict[str, Any]:
    source = release.sources[file]
    first, *after = source.starts[part - 1 :]
    lines = shown_lines(Path(source.path).read_bytes())
    return {
        "file": file,
        "changed": source.changed,
        "functions": link.file(file),
        "lines": list(enumerate(lines[first - 1 : after[0] - 1 if after else None], first)),
        "parts": [
            (_lines_of(source, number), link.href(source_page(file, number)) if number != part else "")
            for number in range(1, len(source.starts) + 1)
        ],
    }


def _lines_of(source: SourceFile, part: int) -> str:
    first, *after = source.starts[part - 1 :]
    return f"{first}–{after[0] - 1 if after else source.lines}"
