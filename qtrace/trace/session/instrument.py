"""Measurements that a session can be given besides the stages that it counts."""

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
    """An instrument attaches by it: the compiled programs, the process, the session's attachments to it."""

    module: Any
    attached: Attachments
    target: Target


class Instrument(Protocol):
    """Something that is measured in a process besides the stages, in the session's windows.

    `Session.add` opens it; nothing of it is left when the session ends.
    """

    @property
    def family(self) -> Family:
        """Its name, its points and its maps."""

    @property
    def columns(self) -> Sequence[TableSchema]:
        """The tables that it has in a run: each column with its type, unit and meaning."""

    def open(self, tracing: Tracing) -> None:
        """Attach; its maps are empty. Raises TraceError where nothing can be measured."""

    def begin(self) -> None:
        """A window begins, and all programs are off: forget what was seen before."""

    def tables(self, snapshot: Snapshot, owners: Collection[int]) -> Tables:
        """Rows of the run for the frames of these owners in the window that has ended, and `ledger` rows.

        With 0 among the owners also the rows of nobody's frames, and the whole process's."""

    def conditions(self) -> dict[str, str]:
        """Conditions of a run that was measured with it, name -> text."""

    def close(self) -> None:
        """Detach what is not the session's own, however far `open` came. Can be called twice."""
