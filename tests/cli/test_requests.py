"""A request to end is never lost, wherever it comes: in a finaliser, in a callback from C, half way into a
context manager, between fork and exec."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

# `come` is the request, at exactly this moment; what follows has ten seconds to be interrupted.
_FRAME = """
import contextlib, ctypes, os, signal, subprocess, sys, threading
from qtrace.cli._requests import heed_requests

def come():
    signal.raise_signal(signal.{request})

def stay():
    threading.Event().wait(10)
    print("lost")

made = []
heed_requests()
try:
{body}
except KeyboardInterrupt:
    print("interrupted", *made)
"""
_PLACES = {
    "in plain code": """
        come()
        print("lost")
    """,
    "in a finaliser": """
        class Finalised:
            def __del__(self):
                come()
        Finalised()
        stay()
    """,
    "in a callback from C": """
        compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        numbers = (ctypes.c_int * 2)(2, 1)
        ctypes.CDLL(None).qsort(numbers, 2, 4, compare(lambda one, other: come() or 0))
        stay()
    """,
    "before an exit stack knows the exit": """
        class Thing(int):
            __enter__ = signal.raise_signal  # in contextlib's own frame
            def __exit__(self, *_):
                made.append("taken down")
        with contextlib.ExitStack() as stack:
            stack.enter_context(Thing(signal.{request}))
            stay()
    """,
    "between fork and exec": """
        read = os.read
        def interrupted(descriptor, size):
            come()
            return read(descriptor, size)
        os.read = interrupted
        with subprocess.Popen(["true"]) as process:
            made.append("owned")
            stay()
    """,
}


def said(body: str, request: str = "SIGINT") -> tuple[str, str]:
    """What a process prints that is asked to end in `body`: (stdout, stderr)."""
    body = textwrap.indent(textwrap.dedent(body.format(request=request)), "    ")
    script = _FRAME.format(request=request, body=body)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    return done.stdout.strip(), done.stderr.strip()


@pytest.mark.parametrize("place", _PLACES)
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_request_is_not_lost(place: str, name: str) -> None:
    out, complaint = said(_PLACES[place], name)
    ended = {"before an exit stack knows the exit": " taken down", "between fork and exec": " owned"}
    assert (out, complaint) == ("interrupted" + ended.get(place, ""), "")


def test_what_the_caller_ignores_stays_ignored() -> None:
    script = textwrap.dedent("""
        import signal
        from qtrace.cli._requests import heed_requests
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        heed_requests()
        signal.raise_signal(signal.SIGINT)
        print("went on")
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert (done.stdout, done.stderr) == ("went on\n", "")


def test_other_exceptions_that_nobody_can_catch_are_shown_as_before() -> None:
    _, complaint = said("""
        class Finalised:
            def __del__(self):
                raise ValueError("of its own")
        Finalised()
    """)
    assert "Exception ignored in" in complaint and "ValueError: of its own" in complaint
