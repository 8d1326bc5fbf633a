"""keeper.py PARENT COMMAND...: run COMMAND, and leave no process of it behind, however it ends.

PARENT is the process that starts it. It is told by SIGTERM that PARENT has died (setpriv --pdeathsig), even
of kill -9. What COMMAND started and left becomes this process's child (a subreaper's), so it can be found and
killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_PATIENCE = 120.0  # seconds for what is killed to be gone


def children() -> list[int]:
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return [int(word) for word in text.split()]


def descendants(pid: int) -> list[int]:
    """All of them, the farthest last."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *descendants(child)]
    return found


def end_all(deadline: float) -> None:
    """Kill what is left until nothing is."""
    while time.monotonic() < deadline:
        for pid in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


def wait_for(pid: int) -> int:
    """The child's status; meanwhile others that end are waited for as well, as an init does."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            return os.waitstatus_to_exitcode(status)


def main() -> int:
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGHUP):
        # In the background of a shell, or below nohup, it is ignored, and would be by all children.
        signal.signal(number, signal.SIG_DFL)

    def stop(number: int, _frame: object) -> None:
        end_all(time.monotonic() + _PATIENCE)
        os._exit(128 + number)

    # Before anything is started: a request that comes then would end this process alone.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    if os.getppid() != int(sys.argv[1]):  # it has died before we could be told
        stop(signal.SIGTERM, None)
    process = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, process_group=0)
    status = wait_for(process.pid)
    end_all(time.monotonic() + _PATIENCE)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
