"""What a session can have besides the counts of its stages."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Instrument"]


class Instrument(Protocol):
    """Attached by `open`; nothing is left of it after `close`, which can be called twice."""

    def open(self) -> None:
        """Attach. Raises TraceError."""

    def begin(self) -> None:
        """A window begins, and all programs are off: forget what was seen before."""

    def close(self) -> None:
        """Detach everything, however far `open` came."""
