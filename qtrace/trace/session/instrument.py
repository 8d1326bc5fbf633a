"""Measurements that can be added to a session besides its stages."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from qtrace.probes.family import Family
from qtrace.store.run import Tables
from qtrace.store.run_schema import TableSchema
from qtrace.trace.bpf.attachments import Attachments
from qtrace.trace.qemu.target import Target
from qtrace.trace.session.snapshot import Snapshot

__all__ = ["Instrument", "Tracing"]


@dataclass(frozen=True, slots=True)
class Tracing:
    """The data that an instrument needs to attach: the compiled programs, the process, the attachments."""

    module: Any
    attached: Attachments
    target: Target


class Instrument(Protocol):
    """A measurement in a process besides the stages, in the session's windows.

    `Session.add` opens it, and the session closes it at its end.
    """

    @property
    def family(self) -> Family:
        """Its name, its points and its maps."""

    @property
    def columns(self) -> Sequence[TableSchema]:
        """The tables that it adds to a run: each column with its type, unit and meaning."""

    def open(self, tracing: Tracing) -> None:
        """Attach; its maps are empty. Raises TraceError if nothing can be measured."""

    def begin(self) -> None:
        """Start a window, with all programs off: forget earlier counts."""

    def tables(self, snapshot: Snapshot, owners: Collection[int]) -> Tables:
        """Rows of the run for the frames of these owners in the last window, and `ledger` rows.

        If 0 is among the owners, also the rows of frames without an owner, and of the whole process."""

    def conditions(self) -> dict[str, str]:
        """Conditions that it adds to a run, name -> text."""

    def close(self) -> None:
        """Detach attachments of its own, even after a failed `open`. Can be called twice."""
