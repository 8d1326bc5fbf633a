"""What it costs to have a Dask cluster of this machine measure blocks that do nothing."""

from __future__ import annotations

import json
import math
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from dask_cluster import DaskCluster

from qtrace.campaign.block_folder import BlockFolder
from qtrace.campaign.cluster import Cluster, measure_blocks
from qtrace.progress import SILENT
from qtrace.store.run_schema import FORMAT

__all__ = ["PARTS", "Cost", "measure", "parts_of"]

PARTS = 10  # of the campaign, by the blocks' order in time
_PLAN = 'name = "nothing"\nprobes = false\n[[cells]]\nnic = "virtio-net-pci"\nnetdev = "tap"\n'
# A block's run without a measurement. The file `begin` is as old as the command, and run.json as its end.
_BLOCK = 'mkdir "$2" && : > "$2/begin" && exec sed "s/@/$1/g" "$3" > "$2/run.json"'
_LEAST_SIZE = 16
_T_95 = 2.262  # Student's t for PARTS - 1 degrees of freedom


@dataclass(frozen=True, slots=True)
class Cost:
    """Times in seconds; `parts` are the means a block of equal parts of the campaign, without the time that
    the blocks' commands took themselves (`command`, the mean). `again` is how long it takes to find all done.
    Memory in MiB by process, when it was idle and at most."""

    blocks: int
    whole: float
    parts: tuple[float, ...]
    command: float
    again: float
    memory: dict[str, tuple[float, float]]

    @property
    def block(self) -> tuple[float, float]:
        """The engine's own mean a block and half its 95 % interval, over the parts."""
        half = _T_95 * statistics.stdev(self.parts) / math.sqrt(len(self.parts))
        return statistics.mean(self.parts), half


def measure(folder: Path, blocks: int) -> Cost:
    """Measure so many blocks with one worker. Raises QtraceError; AssertionError where one is not done."""
    assert blocks % PARTS == 0
    sizes = [_LEAST_SIZE + number for number in range(blocks)]
    plan = folder / "plan.toml"
    plan.write_text(f'{_PLAN}directions = ["tx"]\nworkloads = ["tcp"]\nsize = {sizes}\n')
    template = folder / "run.json"
    meta = {"format": FORMAT, "id": "@", "status": "complete", "venue": "host", "blocks": ["@"]}
    template.write_text(json.dumps({**meta, "conditions": {}, "paths": []}))
    command = ("sh", "-c", _BLOCK, "sh", "{block}", "{folder}", str(template))
    with DaskCluster(folder) as cluster:
        worker = cluster.start_worker()
        where = Cluster(cluster.address, patience=120)
        pids = {"scheduler": cluster.scheduler.pid, "worker": worker.pid, "client": os.getpid()}
        lab = str(folder / "lab.lock")
        _warm_up(folder, plan, where, command, lab)
        idle = {name: _memory(pid, "VmRSS") for name, pid in pids.items()}
        began = time.time()
        target = BlockFolder(folder / "run", str(plan))
        with target.open():
            measure_blocks(target, where, SILENT, command, lab)
        whole = time.time() - began
        most = {name: _memory(pid, "VmHWM") for name, pid in pids.items()}
    began = time.time()
    assert not target.to_measure()
    again = time.time() - began
    folders = [target.path / block.id for block in target.plan.blocks]
    took = [_mtime(path / "run.json") - _mtime(path / "begin") for path in folders]
    parts = parts_of(sorted(zip((path.stat().st_ctime for path in folders), took, strict=True)))
    memory = {name: (idle[name], most[name]) for name in pids}
    return Cost(blocks, whole, parts, statistics.mean(took), again, memory)


def parts_of(blocks: list[tuple[float, float]]) -> tuple[float, ...]:
    """Equal parts of blocks in order of their ends, each with what its command took: the mean time from one
    end to the next, without the command. What comes before the first block's end is in no part."""
    step = len(blocks) // PARTS
    found = []
    for number in range(PARTS):
        first, last = max(number * step - 1, 0), (number + 1) * step - 1
        took = sum(seconds for _, seconds in blocks[first + 1 : last + 1])
        found.append((blocks[last][0] - blocks[first][0] - took) / (last - first))
    return tuple(found)


def _warm_up(folder: Path, plan: Path, where: Cluster, command: tuple[str, ...], lab: str) -> None:
    """Ten blocks of another plan: every module is loaded then."""
    few = folder / "few.toml"
    few.write_text(plan.read_text().partition("size =")[0] + f"size = {[*range(16, 26)]}\n")
    target = BlockFolder(folder / "few", str(few))
    with target.open():
        measure_blocks(target, where, SILENT, command, lab)


def _mtime(file: Path) -> float:
    return file.stat().st_mtime


def _memory(pid: int, line: str) -> float:
    """MiB, from a line of /proc/PID/status in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition(f"{line}:")[2].split()[0]) / 1024
