"""The system calls of this machine by their number."""

from __future__ import annotations

import functools
from collections.abc import Mapping

__all__ = ["syscall_names"]


@functools.cache
def syscall_names() -> Mapping[int, str]:
    """Number -> name, as bcc has them of the kernel's headers (asm/unistd_64.h)."""
    from bcc.syscall import syscalls

    return {number: name.decode() for number, name in syscalls.items()}
