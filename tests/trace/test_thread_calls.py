"""The calls in which threads stand, of processes whose calls are known."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from qtrace.trace.qemu.thread_calls import ThreadCalls

pytestmark = pytest.mark.needs("root", "bcc")

# Its first thread writes into a pipe that nobody reads, the second reads from one that nobody writes.
_STUCK = """
import os, sys, threading
os.set_blocking(int(sys.argv[1]), sys.argv[3] == "blocking")
threading.Thread(target=os.read, args=(int(sys.argv[2]), 1), daemon=True).start()
while True:
    try:
        os.write(int(sys.argv[1]), bytes(4096))
    except BlockingIOError:
        import time
        time.sleep(30)
"""


def stuck(how: str) -> Iterator[tuple[subprocess.Popen[bytes], int, int]]:
    (reads, full), (empty, writes) = os.pipe(), os.pipe()
    argv = [sys.executable, "-c", _STUCK, str(full), str(empty), how]
    process = subprocess.Popen(argv, pass_fds=(full, empty))
    try:
        yield process, full, empty
    finally:
        process.kill()
        process.wait()
        for descriptor in (reads, full, empty, writes):
            os.close(descriptor)


@pytest.fixture
def blocked() -> Iterator[tuple[subprocess.Popen[bytes], int, int]]:
    yield from stuck("blocking")


@pytest.fixture
def waiting() -> Iterator[tuple[subprocess.Popen[bytes], int, int]]:
    yield from stuck("not")


def rows_once(pid: int, call: str) -> tuple[ThreadCalls, list[dict[str, Any]]]:
    """Looked at until the main thread stands in this call; then three times."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        calls = ThreadCalls(pid)
        for _ in range(3):
            calls.look()
        rows = calls.to_json()["rows"]
        if any(row["main"] and row["call"] == call and row["seen"] == 3 for row in rows):
            return calls, rows
        time.sleep(0.02)
    raise AssertionError(rows)


def test_a_call_that_does_not_return(blocked: tuple[subprocess.Popen[bytes], int, int]) -> None:
    process, full, empty = blocked
    calls, rows = rows_once(process.pid, "write")
    assert calls.to_json()["looks"] == 3 and {row["seen"] for row in rows} == {3}
    (main,) = (row for row in rows if row["main"])
    (other,) = (row for row in rows if not row["main"])
    assert (main["tid"], main["descriptor"], main["kind"], main["blocking"]) == (
        process.pid,
        full,
        "pipe",
        True,
    )
    assert (other["call"], other["descriptor"], other["kind"]) == ("read", empty, "pipe")


def test_a_thread_that_waits_for_a_time_holds_no_descriptor(
    waiting: tuple[subprocess.Popen[bytes], int, int],
) -> None:
    _, rows = rows_once(waiting[0].pid, "clock_nanosleep")
    (main,) = (row for row in rows if row["main"])
    assert (main["descriptor"], main["kind"], main["blocking"]) == (-1, "", None)


def test_a_process_that_has_ended_was_not_looked_at(
    blocked: tuple[subprocess.Popen[bytes], int, int],
) -> None:
    process, _, _ = blocked
    process.kill()
    process.wait()
    calls = ThreadCalls(process.pid)
    calls.look()
    assert calls.to_json() == {"looks": 0, "rows": []}
