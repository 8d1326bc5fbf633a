"""Compiles the BPF programs and attaches them to a process.

Compiling takes seconds (in the lab machine ten), so it is done once and cached (`compiled`), and an engine
serves one process after another, whatever their paths.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qtrace.errors import TraceError
from qtrace.model import Path, Probe
from qtrace.probes import Source, losses, program_text
from qtrace.probes.shared import Loss
from qtrace.progress import SILENT, Progress
from qtrace.trace.bpf.calibrate import Cost, calibrate
from qtrace.trace.bpf.compiled import make_module
from qtrace.trace.bpf.prerequisites import ensure_headers, require_tracing
from qtrace.trace.qemu.attribution import Clients
from qtrace.trace.qemu.layout import Layout
from qtrace.trace.qemu.target import Target
from qtrace.trace.session.session import Session

__all__ = ["Engine", "open_engine"]


class Engine:
    """One compiled BPF module. Made by `open_engine`; one session at a time."""

    def __init__(self, module: Any, release: str, lost: Sequence[Loss]) -> None:
        self._module, self._lost = module, lost
        self._session: Session | None = None
        self.release = release  # bcc's release

    def calibrate(self) -> Cost:
        """Measure the present cost of a hit on this host. Raises TraceError."""
        if self._session is not None:
            raise TraceError("this engine traces a process", hint="calibrate before its session")
        return calibrate(self._module)

    @contextlib.contextmanager
    def attach(
        self,
        target: Target,
        probes: Sequence[Probe],
        layout: Mapping[str, int],
        unplaced: Sequence[tuple[Probe, str]] = (),
        clients: Clients | None = None,
        paths: Sequence[Path] = (),
    ) -> Iterator[Session]:
        """Attach to the process `target`; everything is detached when the block ends.

        `layout` has the offsets of `layout.FIELDS`; `unplaced` are stages for which the plan has no place,
        with the reason. `clients` reads the process's present network clients; without it, counts are not
        separated by netdev. `paths` are the paths of the probes, along which frames are followed. A probe
        that cannot be attached is listed in the ledger, and the others count. Raises TargetError or
        TraceError.
        """
        if self._session is not None:
            raise TraceError("this engine traces a process already", hint="end its session first")
        session = Session(
            self._module,
            target,
            tuple(probes),
            Layout(layout),
            tuple(unplaced),
            clients,
            tuple(paths),
            self._lost,
        )
        self._session = session
        try:
            session.open()
            yield session
        finally:
            self._session = None
            session.close()


@contextlib.contextmanager
def open_engine(progress: Progress = SILENT, others: Sequence[Source] = ()) -> Iterator[Engine]:
    """Check the prerequisites, compile the families' programs and `others`, and free everything at the end.

    Raises MissingPrerequisite naming what is missing, TraceError if the programs do not compile.
    """
    require_tracing()
    headers = ensure_headers(progress)
    if headers:
        os.environ["BCC_KERNEL_SOURCE"] = str(headers)
    import bcc  # imported here, so that commands without tracing work without bcc

    progress.step("compiling the eBPF programs")
    module, kept = make_module(program_text(others), headers)
    progress.done(f"eBPF programs {'compiled before' if kept else 'compiled'} (bcc {bcc.__version__})")
    try:
        yield Engine(module, str(bcc.__version__), losses(others))
    finally:
        module.cleanup()
