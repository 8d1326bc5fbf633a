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

__all__ = ["source_pages"]


def source_pages(edition: Edition, release: Release) -> Iterator[Page]:
    """A page for each file that some page names."""
    for file in release.sources:
        values = functools.partial(_values, release, file)
        yield Page(source_page(file), file, "source.html.j2", values, (), release)


def _values(release: Release, file: str, link: Linker) -> dict[str, Any]:
    source = release.sources[file]
    text = Path(source.path).read_bytes().decode(errors="replace")
    return {
        "file": file,
        "changed": source.changed,
        "functions": link.file(file),
        "lines": [line.expandtabs(8) for line in text.split("\n")],
    }
