"""Output functions for all verbs: progress on stderr, JSON on stdout, text stripped of control characters."""

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
    """Print one JSON document, alone on stdout."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def pass_on(stream: str, data: bytes) -> None:
    """Write bytes of another command's `stdout` or `stderr` unchanged. A closed pipe is no error."""
    out = sys.stdout if stream == "stdout" else sys.stderr
    try:
        out.buffer.write(data)
        out.buffer.flush()
    except BrokenPipeError:
        nobody_reads(out)


def nobody_reads(out: TextIO) -> None:
    """Discard further output, for `qtrace bench … 2>&1 | head`: the work goes on."""
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), out.fileno())


class ConsoleProgress:
    """`qtrace.progress.Progress` on stderr.

    On a terminal each step replaces the line of the step before; elsewhere every step has a line of its own.
    Results stay in both.
    """

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._pending = False
        self._lock = threading.Lock()

    def step(self, text: str) -> None:
        """Report a step that begins or goes on."""
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
        """Report a finished step; `text` is its result."""
        self._line(click.style("ok", fg="green"), text)

    def warn(self, text: str) -> None:
        """Report something that the user should know; the work goes on."""
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
