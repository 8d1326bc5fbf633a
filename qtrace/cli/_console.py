"""Output that the verbs share: progress on stderr, JSON on stdout, text stripped of control characters."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from pathlib import Path
from typing import Any, TextIO

import click

from qtrace.report.text import plain

__all__ = ["ConsoleProgress", "echo_json", "nobody_reads", "pass_on", "plain"]


def echo_json(data: Any) -> None:
    """One JSON document, alone on stdout."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def pass_on(stream: str, data: bytes) -> None:
    """Bytes of another command's `stdout` or `stderr`, as they are. A reader that has gone is no error."""
    out = sys.stdout if stream == "stdout" else sys.stderr
    try:
        out.buffer.write(data)
        out.buffer.flush()
    except BrokenPipeError:
        nobody_reads(out)


def nobody_reads(out: TextIO) -> None:
    """`qtrace bench … 2>&1 | head`: the work goes on, its words go nowhere."""
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), out.fileno())


class ConsoleProgress:
    """`qtrace.progress.Progress` on stderr.

    On a terminal a step is a line that the next one replaces; elsewhere every step is a line of its
    own. What was found stays in both.
    """

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._pending = False
        self._lock = threading.Lock()

    def step(self, text: str) -> None:
        """Something is begun or goes on."""
        with self._lock:
            if self._live:
                width = shutil.get_terminal_size().columns
                line = plain(text).replace("\n", " ")
                line = line if len(line) < width - 4 else line[: width - 5] + "…"
                _say(f"\r\x1b[K  … {line}", newline=False)
                self._pending = True
            else:
                _say(f"    {plain(text)}")

    def done(self, text: str) -> None:
        """Something is finished; `text` is the result."""
        self._line(click.style("ok", fg="green"), text)

    def warn(self, text: str) -> None:
        """Something the user should know; the work goes on."""
        self._line(click.style("!!", fg="yellow"), text)

    def close(self) -> None:
        """Leave the cursor at the start of a line."""
        with self._lock:
            self._clear()

    def _line(self, mark: str, text: str) -> None:
        with self._lock:
            self._clear()
            _say(f"{mark}  {plain(text)}")

    def _clear(self) -> None:
        if self._pending:
            _say("\r\x1b[K", newline=False)
            self._pending = False


def _say(text: str, newline: bool = True) -> None:
    try:
        click.echo(text, nl=newline, err=True)
    except BrokenPipeError:
        nobody_reads(sys.stderr)
