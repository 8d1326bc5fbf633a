"""The names of this machine's system calls."""

from __future__ import annotations

import functools
from collections.abc import Mapping

__all__ = ["syscall_names"]


@functools.cache
def syscall_names() -> Mapping[int, str]:
    """Number -> name, from bcc's copy of the kernel headers (asm/unistd_64.h)."""
    from bcc.syscall import syscalls

    return {number: name.decode() for number, name in syscalls.items()}
