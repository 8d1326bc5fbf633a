"""One guest on one netdev, ready to be measured plainly or with probes: lab, walk and tracer joined."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qtrace.bench.attach import attach_paths
from qtrace.errors import CellError
from qtrace.lab.kernel import Kernel
from qtrace.lab.network import Network, open_network
from qtrace.lab.workload.rr import rr
from qtrace.lab.workload.tcp import tcp
from qtrace.model import Cell, Direction, Path
from qtrace.source.walk import walk
from qtrace.store.index import Index
from qtrace.store.run import Tables
from qtrace.trace.engine import Engine
from qtrace.trace.prerequisites import kprobes_available
from qtrace.trace.target import Target, ThreadTimes

__all__ = ["LabStand", "open_stand", "paths_of"]


def paths_of(index: Index, cell: Cell) -> list[Path]:
    """The paths that a cell's frames take, tx and rx: acknowledgements use the other one."""
    return [walk(index, cell.nic, cell.netdev, cell.datapath, direction=way) for way in Direction]


class LabStand:
    """Implements `qtrace.bench.campaign.Stand`."""

    def __init__(self, network: Network, engine: Engine, index: Index) -> None:
        self._network = network
        self._engine = engine
        self._index = index

    def measure(self, cell: Cell, probed: bool, seconds: float) -> tuple[Tables, dict[str, Any]]:
        """One window of traffic. Raises CellError, LabError, TargetError, TraceError."""
        self._network.verify()
        pid = self._network.guest.pid
        before = self._network.device_counters()
        if probed:
            paths = self._watched(cell)
            with attach_paths(self._engine, pid, paths, self._index) as session:
                session.start()
                metrics, raw = self._work(cell, seconds)
                session.stop()
                tables: Tables = session.read().tables()
        else:
            target = Target(pid)
            worker = target.worker()
            began = target.threads(worker)
            metrics, raw = self._work(cell, seconds)
            tables = {"threads": _thread_rows(began, target.threads(worker))}
        after = self._network.device_counters()
        tables["results"] = [
            {"metric": metric, "value": value, "unit": unit} for metric, value, unit in metrics
        ]
        tables["devices"] = [
            {"device": device, "side": side, **{key: after[side][1][key] - old[key] for key in old}}
            for side, (device, old) in before.items()
        ]
        return tables, {cell.workload: raw}

    def _watched(self, cell: Cell) -> list[Path]:
        """The cell's own paths, and those that must not carry its frames: both halves of the proof."""
        paths = paths_of(self._index, cell)
        if cell.netdev == "tap" and cell.nic.startswith("virtio-") and kprobes_available():
            other = "qemu" if cell.datapath == "vhost-net" else "vhost-net"
            paths += [walk(self._index, cell.nic, cell.netdev, other, direction=way) for way in Direction]
        return paths

    def _work(self, cell: Cell, seconds: float) -> tuple[list[tuple[str, float, str]], dict[str, Any]]:
        if cell.workload == "tcp" and cell.direction is not None:
            return tcp(self._network, cell.direction, seconds)
        if cell.workload == "rr":
            return rr(self._network, seconds)
        raise CellError(f"the lab has no workload {cell.workload!r}")


@contextmanager
def open_stand(
    cell: Cell, engine: Engine, index: Index, kernel: Kernel, accelerator: str
) -> Iterator[LabStand]:
    """Bring up the guest that `cell` and its likes need; all of it is gone when the block ends."""
    with open_network(cell.nic, cell.netdev, cell.datapath, accelerator, kernel) as network:
        yield LabStand(network, engine, index)


def _thread_rows(before: dict[int, ThreadTimes], after: dict[int, ThreadTimes]) -> list[dict[str, Any]]:
    rows = []
    for tid, now in after.items():
        old = before.get(tid)
        rows.append(
            {
                "thread": now.name,
                "tid": tid,
                "seconds": now.seconds - (old.seconds if old else 0.0),
                "voluntary": now.voluntary - (old.voluntary if old else 0),
                "involuntary": now.involuntary - (old.involuntary if old else 0),
            }
        )
    return rows
