"""Progress of a long job: a library tells its steps and never prints."""

from __future__ import annotations

from typing import Protocol

__all__ = ["SILENT", "Progress"]


class Progress(Protocol):
    """Where long work reports to; the command line gives one that writes to stderr."""

    def step(self, text: str) -> None:
        """Something is begun or goes on: `indexing net/ (12 of 60)`."""

    def done(self, text: str) -> None:
        """Something is finished; `text` says what it found."""

    def warn(self, text: str) -> None:
        """Something the user should know; the work goes on."""


class _Silent:
    def step(self, text: str) -> None:
        pass

    def done(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        pass


SILENT: Progress = _Silent()
