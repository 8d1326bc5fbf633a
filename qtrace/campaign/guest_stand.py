"""One guest on one netdev, ready for measurements with or without probes: joins lab, walk and tracer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from qtrace.campaign.brief import Brief
from qtrace.errors import CellError
from qtrace.lab.guest.clock import clock_fault, read_clock
from qtrace.lab.guest.guest_image import CLIENTS
from qtrace.lab.guest.kernel import Kernel
from qtrace.lab.guest.qemu_program import QemuProgram
from qtrace.lab.link.connection import Network, boot_network
from qtrace.lab.workload.server import serve
from qtrace.lab.workload.workload import Workload, workloads
from qtrace.model import Cell, Path
from qtrace.store.run import Tables
from qtrace.trace.bpf.prerequisites import kprobes_available
from qtrace.trace.qemu.target import Target
from qtrace.trace.session.session import Session

__all__ = ["Attach", "LabStand", "open_stand"]

# (process, paths) -> a session that counts their stages, in the QEMU of the stand.
Attach = Callable[[int, Sequence[Path]], AbstractContextManager[Session]]


class LabStand:
    """Implements `qtrace.campaign.jobs.Stand`."""

    def __init__(self, network: Network, attach: Attach, brief: Brief, stack: ExitStack) -> None:
        self._network = network
        self._attach = attach
        self._brief = brief
        self._stack = stack
        self._serving: set[str] = set()

    def wait_until_up(self) -> None:
        """Wait until the guest can be measured. Raises CellError or LabError."""
        self._network.wait_until_up()
        self._network.pause()

    def measure(self, cell: Cell, probed: bool, seconds: float) -> tuple[Tables, dict[str, Any]]:
        """Measure one window of traffic. Raises CellError, LabError, TargetError, TraceError."""
        self._network.resume()
        try:
            return self._measure(cell, probed, seconds)
        finally:
            self._network.pause()

    def _measure(self, cell: Cell, probed: bool, seconds: float) -> tuple[Tables, dict[str, Any]]:
        self._network.verify()
        workload = self._served(cell.workload)
        pid = self._network.guest.pid
        began_at = read_clock(self._network.guest.sh)
        if probed:
            with self._attach(pid, self._watched(cell)) as session:
                before = self._network.device_counters()
                session.start()
                metrics, raw = workload.run(self._network, cell.direction, seconds, cell.setting)
                self._network.settle()
                session.stop()
                after = self._network.device_counters()
                snapshot = session.read()
                tables: Tables = snapshot.tables()
                for name, rows in session.besides(snapshot).items():
                    tables[name] = [*tables.get(name, []), *rows]
        else:
            target = Target(pid)
            workers = target.workers()
            before = self._network.device_counters()
            began = target.threads(workers)
            metrics, raw = workload.run(self._network, cell.direction, seconds, cell.setting)
            after = self._network.device_counters()
            ended = target.threads(workers)
            tables = {"threads": [now.since(began.get(tid)).row(tid) for tid, now in ended.items()]}
        if fault := clock_fault(began_at, read_clock(self._network.guest.sh)):
            raise CellError(fault)
        tables["results"] = [
            {"metric": metric, "value": value, "unit": unit} for metric, value, unit in metrics
        ]
        tables["devices"] = [
            {"device": device, "side": side, **{key: after[side][1][key] - old[key] for key in old}}
            for side, (device, old) in before.items()
        ]
        return tables, {cell.workload: raw}

    def _watched(self, cell: Cell) -> list[Path]:
        """The cell's own paths, and the paths that must not carry its frames: the measurement checks both."""
        paths = self._brief.paths_of(cell)
        return [*paths, *self._brief.other_datapath(cell)] if kprobes_available() else paths

    def _served(self, name: str) -> Workload:
        """The workload called `name`; its server runs from the first call until the stand closes."""
        workload = workloads().get(name)
        if workload is None:
            raise CellError(f"the lab has no workload {name!r}")
        if workload.server and name not in self._serving:
            self._stack.enter_context(serve(self._network.peer, workload.server, workload.port))
            self._serving.add(name)
        return workload


@contextmanager
def open_stand(
    cell: Cell,
    attach: Attach,
    brief: Brief,
    kernel: Kernel,
    accelerator: str,
    programs: tuple[str, ...] = CLIENTS,
    qemu: QemuProgram | None = None,
) -> Iterator[LabStand]:
    """Start the guest for `cell` and cells like it, with `programs` in it, in `qemu` or the installed QEMU;
    end it when the block ends."""
    with (
        boot_network(
            *(cell.nic, cell.netdev, cell.datapath, accelerator, kernel),
            programs=programs,
            setting=cell.setting.shape,
            qemu=qemu,
        ) as network,
        ExitStack() as stack,
    ):
        yield LabStand(network, attach, brief, stack)
