"""The files from which facts are made, identified by content: unchanged files are not read again.

A name is relative to the tree, or begins with `%` for a generated header, or is absolute for any other
file (a system header).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

__all__ = ["Input", "Inputs", "digest"]

_GONE = "gone"


class Input(NamedTuple):
    """A file as it was read. Equal size and time save reading it; only the content identifies it."""

    name: str
    size: int
    mtime_ns: int
    sha256: str


def digest(*parts: str) -> str:
    """One hexadecimal hash of all these texts."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part.encode(errors="surrogateescape") + b"\0")
    return whole.hexdigest()


class Inputs:
    """Contents of files below `root` and `generated`, each read at most once."""

    def __init__(self, root: Path, generated: Path) -> None:
        self._root = f"{root}/"
        self._generated = f"{generated}/"
        self._known: dict[str, Input] = {}

    def name_of(self, path: str) -> str:
        """The name of the file at `path`."""
        path = os.path.normpath(path)
        if path.startswith(self._generated):
            return "%" + path[len(self._generated) :]
        return path.removeprefix(self._root)

    def path_of(self, name: str) -> Path:
        """The path of the file called `name`."""
        if name.startswith("%"):
            return Path(self._generated, name[1:])
        return Path(self._root, name)

    def get(self, name: str) -> Input:
        """The file in its present state; an unreadable file has a special content."""
        if name not in self._known:
            path = self.path_of(name)
            try:
                info = path.stat()
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                self._known[name] = Input(name, info.st_size, info.st_mtime_ns, content)
            except OSError:
                self._known[name] = Input(name, 0, 0, _GONE)
        return self._known[name]

    def same(self, before: Iterable[Input]) -> bool:
        """Whether all these files are unchanged."""
        for known in before:
            try:
                info = self.path_of(known.name).stat()
            except OSError:
                return False
            if (info.st_size, info.st_mtime_ns) == (known.size, known.mtime_ns):
                continue
            if info.st_size != known.size or self.get(known.name).sha256 != known.sha256:
                return False
        return True
