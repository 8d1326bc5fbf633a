"""The connection to a guest's init: one command at a time, with its output and status."""

from __future__ import annotations

import base64
import contextlib
import itertools
import selectors
import socket
import time
from collections.abc import Callable
from pathlib import Path

from qtrace.errors import LabError

__all__ = ["Agent"]

_LONGEST_ANSWER = 32 * 2**20


class Agent:
    """Exchanges commands with `init.sh` over QEMU's chardev socket.

    `epitaph` returns the reason once the guest has ended: if a guest is killed from outside, every call fails
    at once with that reason, and none hangs. `name` marks this agent's commands, so that the answer to a
    command of an earlier user of the connection is not mistaken for its own.
    """

    def __init__(self, path: Path, epitaph: Callable[[], str | None], name: str = "c") -> None:
        self._epitaph, self._name = epitaph, name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._buffer, self._word = b"", ""
        self._ids = itertools.count(1)
        try:
            self._socket.connect(str(path))
        except OSError as exc:
            self._socket.close()
            raise LabError(f"cannot reach the guest's agent: {exc.strerror}. {epitaph() or ''}") from exc

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def wait_ready(self, deadline: float) -> str:
        """Wait for the guest's first message, its kernel's release. `deadline` is monotonic seconds."""
        return self._answer("ready", deadline, "start")[1].strip()

    def run(self, command: str, timeout: float) -> tuple[int, str]:
        """Run a shell command in the guest: (exit status, output). Raises LabError."""
        deadline = time.monotonic() + timeout
        self._word = word = f"{self._name}{next(self._ids)}"
        line = f"{word} {base64.b64encode(command.encode()).decode()}\n"
        try:
            self._socket.sendall(line.encode())
        except OSError as exc:
            raise LabError(self._gone(f"run {command!r}")) from exc
        return self._answer(word, deadline, f"run {command!r}")

    def interrupt(self, timeout: float) -> tuple[int, str]:
        """Interrupt the command whose `run` timed out or was interrupted: its status and output. Works in a
        lab's guest only.
        """
        with contextlib.suppress(OSError):
            self._socket.sendall(f"{self._word} !\n".encode())
        return self._answer(self._word, time.monotonic() + timeout, "end the command")

    def _answer(self, word: str, deadline: float, what: str) -> tuple[int, str]:
        while True:
            fields = self._line(deadline, what).split(" ")
            if len(fields) == 3 and fields[0] == word and fields[1].isdigit():
                try:
                    return int(fields[1]), base64.b64decode(fields[2]).decode(errors="replace")
                except ValueError as exc:
                    raise LabError(f"the guest gave an unreadable answer to {what}") from exc

    def _line(self, deadline: float, what: str) -> str:
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    gone = self._epitaph()
                    raise LabError(gone if gone else f"the guest did not {what} in time")
                try:
                    data = self._socket.recv(65536)
                except OSError:
                    data = b""
                if not data:
                    raise LabError(self._gone(what))
                self._buffer += data
                if len(self._buffer) > _LONGEST_ANSWER:
                    raise LabError("the guest's answer is too long")
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode(errors="replace").rstrip("\r")

    def _gone(self, what: str) -> str:
        # The socket closes shortly before the process can be waited for.
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            if said := self._epitaph():
                return said
            time.sleep(0.02)
        return f"the guest hung up (it was to {what})"
