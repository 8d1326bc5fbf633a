"""Places in the indexed tree as links to the tag of the public repository.

The tree is the distribution's, and its patches move lines. The patches that stand in debian/patches behind
the last one that changes QEMU's VERSION are the distribution's own; a line is followed back through them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchedFile, PatchSet

from qtrace.errors import PostError
from qtrace.store.index import Index

__all__ = ["Link", "SourceLinks", "line_at_tag"]

_QEMU = "https://gitlab.com/qemu-project/qemu/-/blob"
_SLIRP = "https://gitlab.freedesktop.org/slirp/libslirp/-/blob"
_LINUX = "https://github.com/torvalds/linux/blob"
_VERSION = re.compile(r"version\s*:\s*'([0-9.]+)'")


@dataclass(frozen=True, slots=True)
class Link:
    """`line` is the tag's own; 0 where the distribution's patches made the line, and `url` is of the file."""

    function: str
    file: str
    line: int
    url: str

    @property
    def place(self) -> str:
        """`net/tap.c:117`, or the file alone."""
        return f"{self.file}:{self.line}" if self.line else self.file


class SourceLinks:
    """The public places of an index's files; `linux` is the release of the guests' kernel, such as 6.1."""

    def __init__(self, index: Index, linux: str = "") -> None:
        self._index = index
        self._linux = linux

    def function(self, name: str, file: str = "") -> Link:
        """The definition of a function. Raises PostError where the index has none, or several."""
        rows = [row for row in self._index.function(name, file or None) if row.line]
        if len(rows) != 1:
            files = ", ".join(row.file for row in rows) or "no file"
            raise PostError(f"the function {name} is defined in {files}: a link needs one place")
        return self.place(name, rows[0].file, rows[0].line)

    def place(self, name: str, file: str, line: int) -> Link:
        """A line of an indexed file, a library's included."""
        if not self._index.library_of(file) and file.startswith(("drivers/", "fs/", "include/linux/")):
            return Link(name, file, 0, f"{_LINUX}/v{self._linux}/{file}")
        tree, inside = self._index.place(file)
        base, tag = self._repository(file, tree)
        found = line_at_tag(tree, inside, line) if line else 0
        anchor = f"#L{found}" if found else ""
        return Link(name, file, found or 0, f"{base}/{tag}/{inside}{anchor}")

    def _repository(self, file: str, tree: Path) -> tuple[str, str]:
        if self._index.library_of(file):
            found = _VERSION.search((tree / "meson.build").read_text(errors="replace"))
            return _SLIRP, f"v{found[1]}" if found else "master"
        return _QEMU, f"v{self._index.meta['qemu']}"


def line_at_tag(tree: Path, file: str, line: int) -> int | None:
    """The line of `file` in the release's own tree; None for a line that the distribution put in.

    `line` counts in the patched tree.
    """
    for patched in reversed(_own_patches(tree).get(file, ())):
        before = _before(patched, line)
        if before is None:
            return None
        line = before
    return line


def _before(patched: PatchedFile, line: int) -> int | None:
    """Where a line stood before one patch."""
    moved = 0
    for hunk in patched:
        if line < hunk.target_start:
            break
        if line < hunk.target_start + hunk.target_length:
            for one in hunk:
                if one.target_line_no == line:
                    return int(one.source_line_no) if one.source_line_no else None
        moved = (hunk.source_start + hunk.source_length) - (hunk.target_start + hunk.target_length)
    return line + moved


@functools.cache
def _own_patches(tree: Path) -> dict[str, tuple[PatchedFile, ...]]:
    """File -> the distribution's own patches of it, in the order in which they are applied."""
    found: dict[str, list[PatchedFile]] = {}
    for patch in _own_names(tree):
        try:
            text = (tree / "debian/patches" / patch).read_text(errors="replace")
            changes = PatchSet(text)
        except (OSError, UnidiffParseError) as exc:
            raise PostError(f"{tree}/debian/patches/{patch} cannot be read: {exc}") from exc
        for patched in changes:
            # As 'patch -p1' reads it: the first folder is a/, b/, or a tree's own name.
            name = patched.target_file.partition("/")[2]
            found.setdefault(name, []).append(patched)
    return {file: tuple(changes) for file, changes in found.items()}


def _own_names(tree: Path) -> Sequence[str]:
    series = tree / "debian/patches/series"
    if not series.is_file():
        return []
    lines = (line.split("#")[0].split() for line in series.read_text().splitlines())
    names = [words[0] for words in lines if words]
    releases = [at for at, name in enumerate(names) if _changes_version(tree / "debian/patches" / name)]
    return names[max(releases) + 1 :] if releases else names


def _changes_version(patch: Path) -> bool:
    return "\n+++ b/VERSION" in patch.read_text(errors="replace")
