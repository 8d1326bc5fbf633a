"""Requests to end (Ctrl-C, SIGTERM, a closed terminal): each becomes one KeyboardInterrupt that is not lost.

Python runs a signal's handler at any place of the main thread. The interpreter discards an exception that the
handler raises inside a finaliser (`Popen.__del__`) or inside a callback from C. An exception between fork and
exec, or after a context manager's set-up and before its exit is registered, would leave a thing that is never
ended. At these places the request is delayed for a moment.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

__all__ = ["heed_requests"]

_SOON = 0.002  # seconds until a delayed request is tried again
_FORKING: Any = subprocess.Popen


def heed_requests() -> None:
    """Raise KeyboardInterrupt in the main thread for each request from now on.

    A request that the calling process has set to be ignored (`nohup`, a background job) stays ignored.
    """
    for request in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(request) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(request, _interrupt)
    signal.signal(signal.SIGALRM, _interrupt)
    sys.unraisablehook = _thrown_away


def _interrupt(number: int, frame: FrameType | None) -> None:
    if _must_wait(frame):
        _ask_again()
    else:
        raise KeyboardInterrupt


def _must_wait(frame: FrameType | None) -> bool:
    if frame is not None and frame.f_code.co_filename == contextlib.__file__:
        return True  # a context manager is entered, but its exit is not registered yet
    while frame is not None:
        if frame.f_code in _WHOLE:
            return True
        frame = frame.f_back
    return False


def _thrown_away(unraisable: UnraisableHookArgs) -> None:
    """Called for an exception that the interpreter discarded: a KeyboardInterrupt is raised again later."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        _ask_again()
    else:
        sys.__unraisablehook__(unraisable)


def _ask_again() -> None:
    signal.setitimer(signal.ITIMER_REAL, _SOON)


# Functions that must not be interrupted: a child between fork and exec has no owner yet.
_WHOLE: tuple[CodeType, ...] = (_FORKING._execute_child.__code__, _thrown_away.__code__)
