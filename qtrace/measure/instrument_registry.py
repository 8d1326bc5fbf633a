"""All instruments, found in their folder, and the instruments that a session was given.

A file of qtrace/measure/instruments/ has a `FAMILY` with the file's name; a `SHARED`, whose declarations its
probes/NAME.bpf.c uses; `COLUMNS`, its tables in a run; `instrument(process, effort)`, which returns the
instrument, or None if it is not wanted; and `lines(tables)`, which `qtrace record` prints.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import pkgutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import qtrace.measure.instruments
import qtrace.probes
from qtrace.measure.effort import Effort
from qtrace.measure.qemu_process import QemuProcess
from qtrace.probes.family import Family, Source
from qtrace.progress import SILENT, Progress
from qtrace.store.run import Tables
from qtrace.store.run_schema import TableSchema
from qtrace.trace.session.engine import Engine, open_engine
from qtrace.trace.session.instrument import Instrument
from qtrace.trace.session.session import Session
from qtrace.trace.session.snapshot import Snapshot

__all__ = ["Entry", "Instruments", "instrument_tables", "instruments", "open_full_engine"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One instrument's file."""

    family: Family
    source: Source
    columns: tuple[TableSchema, ...]
    make: Callable[[QemuProcess, Effort], Instrument | None]
    lines: Callable[[Tables], Iterator[str]]


@functools.cache
def instruments() -> Mapping[str, Entry]:
    """Name -> instrument, in alphabetical order."""
    probes = Path(qtrace.probes.__file__).parent
    found = {}
    for info in sorted(pkgutil.iter_modules(qtrace.measure.instruments.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"qtrace.measure.instruments.{info.name}")
        source = Source(probes / f"{info.name}.bpf.c", module.SHARED)
        found[info.name] = Entry(module.FAMILY, source, module.COLUMNS, module.instrument, module.lines)
    return found


def instrument_tables() -> list[TableSchema]:
    """The tables of all instruments in a run."""
    return [table for entry in instruments().values() for table in entry.columns]


@contextlib.contextmanager
def open_full_engine(progress: Progress = SILENT) -> Iterator[Engine]:
    """As `open_engine`, with the programs of every instrument."""
    with open_engine(progress, [entry.source for entry in instruments().values()]) as engine:
        yield engine


class Instruments:
    """The wanted instruments, added to a session. Raises TraceError, BinaryError."""

    def __init__(self, session: Session, process: QemuProcess, effort: Effort) -> None:
        made = (entry.make(process, effort) for entry in instruments().values())
        self._given = [session.add(instrument) for instrument in made if instrument is not None]
        self._asked = False

    def conditions(self) -> dict[str, str]:
        """Conditions that they add to a run, name -> text."""
        return {name: text for one in self._given for name, text in one.conditions().items()}

    def tables(self, snapshot: Snapshot, owners: Collection[int], progress: Progress) -> Tables:
        """Tables of the frames of these owners in the last window, with the instruments' own `ledger` rows;
        the first call also returns the rows of the whole process, and of frames without an owner."""
        wanted = {*owners} if self._asked else {0, *owners}
        self._asked = True
        found: Tables = {}
        for one in self._given:
            progress.step(f"reading the instrument: {one.family.name.replace('_', ' ')}")
            for name, rows in one.tables(snapshot, wanted).items():
                found.setdefault(name, []).extend(rows)
        return found
