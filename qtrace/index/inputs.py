"""The files that facts are made from, by content: what has not changed is not read again.

A name is relative to the tree, or begins with `%` for a generated header, or is absolute for what
belongs to neither (a system header).
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
    """A file as it was read. Size and time only spare the reading: what counts is the content."""

    name: str
    size: int
    mtime_ns: int
    sha256: str


def digest(*parts: str) -> str:
    """One hexadecimal name for all of these texts."""
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
        """How a file is called here."""
        path = os.path.normpath(path)
        if path.startswith(self._generated):
            return "%" + path[len(self._generated) :]
        return path.removeprefix(self._root)

    def path_of(self, name: str) -> Path:
        """The other way round."""
        if name.startswith("%"):
            return Path(self._generated, name[1:])
        return Path(self._root, name)

    def get(self, name: str) -> Input:
        """The file as it is; one that cannot be read has a content of its own kind."""
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
        """Whether all of these are as they were."""
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
