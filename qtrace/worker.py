"""Worker processes of a pool: from their first moment, a request to end is their parent's to answer."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

__all__ = ["leave_requests", "unasked"]

_REQUESTS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def unasked() -> Iterator[None]:
    """A process that starts within the block takes no request before it calls `leave_requests`: until then
    it has its parent's handlers, which would end it with a traceback. The parent's own may wait for the block
    (they do where no other thread takes them)."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _REQUESTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_requests() -> None:
    """A worker's first call: Ctrl-C, which a terminal sends to all, is ignored; the parent ends the worker by
    SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _REQUESTS)
