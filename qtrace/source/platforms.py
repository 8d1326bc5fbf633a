"""Files of the tree that a Linux build leaves out or replaces: another system's, and stubs."""

from __future__ import annotations

import re

__all__ = ["other_platform"]

_OTHER = re.compile(r"[-_](stub|win32|bsd|solaris)\.c$|/vmnet")


def other_platform(file: str) -> bool:
    """Whether `file` is a stub, or for Windows, BSD, Solaris or macOS, as QEMU names such files."""
    return bool(_OTHER.search(file))
