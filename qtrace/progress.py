"""Progress of a long job: a library tells its steps and never prints."""

from __future__ import annotations

from typing import Protocol

__all__ = ["SILENT", "Progress"]


class Progress(Protocol):
    """The receiver of progress reports; the command line's writes to stderr."""

    def step(self, text: str) -> None:
        """Report a step that begins or goes on: `indexing net/ (12 of 60)`."""

    def done(self, text: str) -> None:
        """Report a finished step; `text` is its result."""

    def warn(self, text: str) -> None:
        """Report something that the user should know; the work goes on."""


class _Silent:
    def step(self, text: str) -> None:
        pass

    def done(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        pass


SILENT: Progress = _Silent()
