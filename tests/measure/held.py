"""A guest whose processor executes nothing for a while, and whose QEMU does not know."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator

from qtrace.lab.link.connection import Network

__all__ = ["halted"]

SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17  # linux/ptrace.h


@contextlib.contextmanager
def halted(network: Network) -> Iterator[None]:
    """The guest's processor executes nothing, and QEMU does not know: its run state is `running`.

    ptrace stops this one thread of QEMU's, which waits for an interrupt without a lock in its hand.
    """
    (vcpu,) = network.guest.qmp("query-cpus-fast")  # type: ignore[misc]
    thread = int(vcpu["thread-id"])  # type: ignore[index]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    assert libc.ptrace(SEIZE, thread, None, None) == 0, os.strerror(ctypes.get_errno())
    try:
        assert libc.ptrace(INTERRUPT, thread, None, None) == 0
        os.waitpid(thread, 0x40000000)  # __WALL
        yield
    finally:
        assert libc.ptrace(DETACH, thread, None, None) == 0
