"""Places in the indexed tree as links to the tag of the public repository.

The tree is the distribution's, and its patches move lines. The patches that stand in debian/patches behind
the last one that changes QEMU's VERSION are the distribution's own; a line is followed back through them.
"""

from __future__ import annotations

import functools
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from urllib.parse import quote

from qtrace.distribution.identity import distribution
from qtrace.errors import MissingPrerequisite, PostError
from qtrace.store.index import Index

__all__ = ["Link", "SourceLinks", "line_at_tag", "tag_of"]

_QEMU = "https://gitlab.com/qemu-project/qemu/-/blob"
_SLIRP = "https://gitlab.freedesktop.org/slirp/libslirp/-/blob"
_LINUX = "https://github.com/torvalds/linux/blob"
_HEAD = re.compile(r"^\+\+\+ ([^\t\n]+)", re.MULTILINE)
_NUMBERS = re.compile(r"(\d+)\.(\d+)\.(\d+)")
# VERSION's last number on the way to the next release, and in its candidates; the last series of a year.
_BETWEEN, _CANDIDATE, _LAST_MINOR = 50, 90, 2
_VERSION = re.compile(r"version\s*:\s*'([0-9.]+)'")


@dataclass(frozen=True, slots=True)
class Link:
    """`line` is the tag's own; 0 where the distribution's patches made the line, and `url` is of the file. It
    is empty for a tree between two releases."""

    function: str
    file: str
    line: int
    url: str

    @property
    def place(self) -> str:
        """`net/tap.c:117`, or the file alone."""
        return f"{self.file}:{self.line}" if self.line else self.file


class SourceLinks:
    """The public places of an index's files; `linux` is the release of the guests' kernel, such as 6.1, or
    empty for the newest."""

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
            tag = f"v{self._linux}" if self._linux else "master"
            return Link(name, file, 0, f"{_LINUX}/{tag}/{quote(file)}")
        tree, inside = self._index.place(file)
        base, tag = self._repository(file, tree)
        if not tag:
            return Link(name, file, line, "")
        found = line_at_tag(tree, inside, line) if line else 0
        anchor = f"#L{found}" if found else ""
        return Link(name, file, found or 0, f"{base}/{tag}/{quote(inside)}{anchor}")

    def _repository(self, file: str, tree: Path) -> tuple[str, str]:
        if self._index.library_of(file):
            found = _VERSION.search((tree / "meson.build").read_text(errors="replace"))
            return _SLIRP, f"v{found[1]}" if found else "master"
        return _QEMU, tag_of(self._index.meta["qemu"])


def tag_of(version: str) -> str:
    """The tag of a release of QEMU: 10.1.90 is the candidate v10.2.0-rc0. Empty for a tree between two
    releases, which has no tag."""
    numbers = _NUMBERS.fullmatch(version)
    if not numbers:
        return ""
    major, minor, micro = (int(number or 0) for number in numbers.groups())
    if micro < _BETWEEN:
        return f"v{version}"
    if micro < _CANDIDATE:
        return ""
    major, minor = (major + 1, 0) if minor == _LAST_MINOR else (major, minor + 1)
    return f"v{major}.{minor}.0-rc{micro - _CANDIDATE}"


def line_at_tag(tree: Path, file: str, line: int) -> int | None:
    """The line of `file` in the release's own tree; None for a line that the distribution put in.

    `line` counts in the patched tree. Raises MissingPrerequisite where patch(1) is missing.
    """
    patches = [patch for patch in _own_patches(tree) if file in _files_of(patch)]
    return _line_map(tree, file, tuple(patches)).get(line) if patches else line


@functools.cache
def _line_map(tree: Path, file: str, patches: tuple[Path, ...]) -> dict[int, int]:
    """Line -> line of the release, of all that both have."""
    after = _lines(tree / file)
    before = _taken_off(tree / file, file, patches)
    found = {}
    for block in SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks():
        for step in range(block.size):
            found[block.b + step + 1] = block.a + step + 1
    return found


def _taken_off(path: Path, file: str, patches: Sequence[Path]) -> list[str]:
    """The file without these patches. patch(1) finds a hunk that applies elsewhere than its head says."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
        for patch in reversed(patches):
            # The patch's other files are not here: --force passes over them.
            argv = ["patch", "-R", "-p1", "--force", "--silent", "-d", folder, "-i", str(patch)]
            try:
                subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
            except FileNotFoundError as exc:
                hint = distribution().hint("patch")
                raise MissingPrerequisite("the program patch is missing", hint=hint) from exc
        return _lines(copy) if copy.exists() else []


def _lines(path: Path) -> list[str]:
    return path.read_text(errors="replace").split("\n")


@functools.cache
def _files_of(patch: Path) -> frozenset[str]:
    """The files that a patch changes, as 'patch -p1' reads their names: without the first folder."""
    heads = _HEAD.findall(patch.read_text(errors="replace"))
    return frozenset(head.partition("/")[2] for head in heads)


@functools.cache
def _own_patches(tree: Path) -> tuple[Path, ...]:
    """The distribution's own patches in the order in which they are applied."""
    series = tree / "debian/patches/series"
    if not series.is_file():
        return ()
    words = [line.split("#")[0].split() for line in series.read_text().splitlines()]
    patches = [tree / "debian/patches" / found[0] for found in words if found]
    releases = [at for at, patch in enumerate(patches) if "VERSION" in _files_of(patch)]
    return tuple(patches[max(releases) + 1 :] if releases else patches)
