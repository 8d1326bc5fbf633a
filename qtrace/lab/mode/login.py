"""Commands in a machine of a lab that another process started, and its console."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shlex
import socket
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Iterator, Sequence
from pathlib import Path

from qemu.qmp import QMPError

from qtrace.errors import LabError
from qtrace.lab.guest.agent import Agent
from qtrace.lab.guest.guest import monitor_at
from qtrace.lab.host.netns import Namespace
from qtrace.lab.mode.running_labs import Entry

__all__ = ["LEAVE", "ask_monitor", "open_console", "run_in_guest", "run_in_space"]

LEAVE = b"\x1d"  # Ctrl-]


def run_in_guest(entry: Entry, guest: str, command: Sequence[str], timeout: float) -> tuple[int, str]:
    """(exit status, output) of a command in the guest; a single word is a line for its shell.

    Raises LabError. After a KeyboardInterrupt the command is interrupted, and its output so far is
    returned.
    """
    line = command[0] if len(command) == 1 else shlex.join(command)
    deadline = time.monotonic() + timeout
    with _alone(entry.home / guest):
        agent = Agent(entry.home / guest / "agent", lambda: _gone(entry, guest), f"s{os.getpid()}.")
        try:
            agent.wait_ready(time.monotonic() + 120)
            try:
                return agent.run(line, deadline - time.monotonic())
            except KeyboardInterrupt:
                return agent.interrupt(10)
        finally:
            agent.close()


def ask_monitor(entry: Entry, guest: str, line: str) -> str:
    """What the monitor of a guest's QEMU answers to one line. Raises LabError."""
    if guest not in entry.guests:
        raise LabError(
            f"{guest} is no guest of the lab {entry.name}", hint=f"its guests: {', '.join(entry.guests)}"
        )
    with _alone(entry.home / guest):
        monitor = monitor_at(entry.home / guest / "qmp")
        try:
            monitor.connect()
            monitor.settimeout(120)
            return str(monitor.cmd("human-monitor-command", **{"command-line": line}))
        except (QMPError, OSError, EOFError) as exc:
            gone = _gone(entry, guest)
            raise LabError(gone or f"the monitor of {guest} did not answer: {exc}") from exc
        finally:
            with contextlib.suppress(QMPError, OSError, EOFError):
                monitor.close()


def run_in_space(entry: Entry, space: str, command: Sequence[str]) -> int:
    """The exit status of a command in one of the lab's namespaces, run on this terminal."""
    where = Namespace(f"qt-{entry.name}-{space}")
    words = list(command) or [os.environ.get("SHELL") or "/bin/sh"]
    words = ["sh", "-c", words[0]] if len(command) == 1 else words
    return subprocess.run(where.argv(words), check=False).returncode


def open_console(entry: Entry, guest: str) -> None:
    """Connect the terminal to the guest's console until `LEAVE` is typed. Raises LabError."""
    if not sys.stdin.isatty():
        raise LabError(
            "a console needs a terminal", hint=f"for one command: qtrace lab shell {guest} -- COMMAND"
        )
    with socket.socket(socket.AF_UNIX) as console:
        try:
            console.connect(str(entry.home / guest / "console.socket"))
        except OSError as exc:
            raise LabError(f"cannot reach the console of {guest}: {exc.strerror}") from exc
        console.sendall(b"\n")  # so that its shell shows its prompt
        keyboard, screen = sys.stdin.fileno(), 1
        before = termios.tcgetattr(keyboard)
        try:
            tty.setraw(keyboard)
            while True:
                ready = select.select([keyboard, console], [], [])[0]
                if console in ready:
                    if not (data := console.recv(65536)):
                        return
                    os.write(screen, data)
                if keyboard in ready:
                    typed = os.read(keyboard, 4096)
                    if not typed or LEAVE in typed:
                        return
                    console.sendall(typed)
        finally:
            termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of the agent's connection, which serves one process at a time."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as exc:
        raise LabError(f"{folder}: {exc.strerror}", hint="run it with sudo") from exc
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _gone(entry: Entry, guest: str) -> str | None:
    if Path(f"/proc/{entry.guests[guest]}").exists():
        return None
    return f"{guest} of the lab {entry.name} has ended"
