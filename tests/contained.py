"""The next Debian's QEMU in a root of its own, as a container would run it: other libraries, other mounts.

The packages are unpacked into the cache; nothing of them is installed. Whoever calls the program gets
what looks like `qemu-system-x86_64`: a user and a mount namespace, a new root, and QEMU in it.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from qtrace.distribution.identity import distribution

__all__ = ["NEXT", "PROGRAM", "make_root"]

NEXT = "trixie"  # as in tests/conftest.py, whose index is its source's
PROGRAM = "qemu-system-x86_64"
# The new root stands where nothing stands outside, and the program has the path of the installed one.
_ENTER = """#!/bin/sh
exec unshare --user --map-root-user --mount sh -c '
    set -e
    mount --rbind "$0" /mnt
    for name in proc dev tmp; do mount --rbind /$name /mnt/$name; done
    cd /mnt
    pivot_root . old
    exec /usr/bin/{program} "$@"
' {root} "$@"
"""


def make_root(folder: Path) -> Path:
    """A new root in `folder`, which anybody may enter; the folder with the program to call.

    Raises MissingPrerequisite.
    """
    root = folder / "root"
    shutil.copytree(distribution().unpack_qemu(NEXT), root, symlinks=True, copy_function=_link)
    programs = folder / "bin"
    programs.mkdir()
    caller = programs / PROGRAM
    caller.write_text(_ENTER.format(program=PROGRAM, root=root))
    for place in (folder, root, programs, caller):
        place.chmod(place.stat().st_mode | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
    caller.chmod(0o755)
    return programs


def _link(source: str, target: str) -> str:
    """The cache may be on another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
