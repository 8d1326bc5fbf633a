"""Makes a tracing session for walked paths in a process: joins its placement, its clients and the tracer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path as FilePath

from qtrace.binary.symbols.names import FunctionNames
from qtrace.errors import StoreError
from qtrace.measure.instruments.copies import Copies
from qtrace.measure.instruments.cpu_functions import CpuFunctions
from qtrace.measure.placement import Placement
from qtrace.measure.qemu_process import QemuProcess
from qtrace.model import Path
from qtrace.probes.dma import SPACE
from qtrace.store.index import Index
from qtrace.trace.qemu.layout import FIELDS
from qtrace.trace.session.engine import Engine
from qtrace.trace.session.level import Level
from qtrace.trace.session.session import Session

__all__ = ["Attacher", "attach"]


@contextlib.contextmanager
def attach(
    engine: Engine, process: QemuProcess, paths: Sequence[Path], level: Level = Level.STAGES
) -> Iterator[Session]:
    """Probe the stages of `paths` in the process; stages without a probe are in the session's ledger.

    Raises TargetError, TraceError, BinaryError.
    """
    probes, unplaced = process.placement.probes(paths, level)
    layout = _layout(process.index)
    with engine.attach(process.target, probes, layout, unplaced, process.clients, paths) as session:
        yield session


class Attacher:
    """Attaches an engine to one process after another of the QEMU for which `index` was made; the functions
    in its files are located only once. With `cpu_hertz` its sessions sample the threads' functions too, with
    `copies` they count what QEMU copies, if the engine has the programs of these instruments."""

    def __init__(self, engine: Engine, index: Index, cpu_hertz: int = 0, *, copies: bool = False) -> None:
        self._engine = engine
        self._index = index
        self._cpu_hertz = cpu_hertz
        self._copies = copies
        self._placements: dict[tuple[FilePath, ...], Placement] = {}
        self._names: dict[str, FunctionNames | None] = {}

    @contextlib.contextmanager
    def attach(self, pid: int, paths: Sequence[Path], level: Level = Level.STAGES) -> Iterator[Session]:
        """`attach`, in process `pid`."""
        process = QemuProcess(pid, index=self._index, placements=self._placements)
        with attach(self._engine, process, paths, level) as session:
            if self._cpu_hertz:
                session.add(CpuFunctions(process, self._cpu_hertz, self._names))
            if self._copies:
                session.add(Copies(process))
            yield session


def _layout(index: Index) -> dict[str, int]:
    """The offsets in QEMU's structs that the programs read; the tracer reports one that the index lacks."""
    found = {}
    for name in (*FIELDS.values(), SPACE):
        struct, _, field = name.partition(".")
        with contextlib.suppress(StoreError, KeyError):
            if name.startswith("sizeof("):
                found[name] = index.struct(name[7:-1])[1]
            elif field:
                found[name] = index.struct(struct)[0][field][0]
            else:
                found[name] = index.enum("NetClientDriver")[name]
    return found
