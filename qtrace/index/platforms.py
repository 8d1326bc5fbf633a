"""Files of the tree that a Linux build leaves out or replaces: files for other systems, and stubs."""

from __future__ import annotations

import re

__all__ = ["other_platform", "other_system"]

_SYSTEM = re.compile(r"[-_](win32|bsd|solaris)\.c$|/vmnet")
_STUB = re.compile(r"[-_]stub\.c$")


def other_system(file: str) -> bool:
    """Whether `file` is for Windows, BSD, Solaris or macOS, by QEMU's names of such files."""
    return bool(_SYSTEM.search(file))


def other_platform(file: str) -> bool:
    """Whether `file` is a stub, or for another system."""
    return other_system(file) or bool(_STUB.search(file))
