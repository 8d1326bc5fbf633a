"""clang's own headers (stddef.h, stdarg.h …), which PyPI's libclang does not contain."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from qtrace.distribution.identity import distribution
from qtrace.errors import MissingPrerequisite

__all__ = ["newest_resource_dir", "resource_dir"]

# Folders of Debian's and Ubuntu's libclang-common-N-dev, Fedora's clang-resource-filesystem and others'
# clang.
_PLACES = ("usr/lib/llvm-*/lib/clang/*", "usr/lib/clang/*", "usr/lib64/clang/*", "usr/local/lib/clang/*")


def resource_dir() -> Path:
    """The folder for clang's -resource-dir: that of the newest installed clang, else the one that clang
    itself reports, else gcc's, whose common headers clang can read.

    Raises MissingPrerequisite.
    """
    found = newest_resource_dir(path for place in _PLACES for path in Path("/").glob(place))
    for command in (["clang", "-print-resource-dir"], ["gcc", "-print-file-name=include"]):
        if found is None and shutil.which(command[0]):
            said = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
            folder = Path(said.strip())
            found = newest_resource_dir([folder.parent if folder.name == "include" else folder])
    if found is None:
        raise MissingPrerequisite(
            "clang's built-in headers are missing", hint=distribution().hint("clang-headers")
        )
    return found


def newest_resource_dir(folders: Iterable[Path]) -> Path | None:
    """The one of these folders that has the headers of the newest compiler: `…/clang/19` before
    `…/clang/14.0.6`."""
    with_headers = [path for path in folders if (path / "include" / "stddef.h").is_file()]
    return max(
        with_headers, key=lambda path: [int(part) for part in re.findall(r"\d+", path.name)], default=None
    )
