"""What it costs to have a Dask cluster of this machine measure blocks that do nothing."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from dask_cluster import DaskCluster

from qtrace.campaign.block_folder import BlockFolder
from qtrace.campaign.cluster import Cluster, measure_blocks
from qtrace.progress import SILENT
from qtrace.store.run_schema import FORMAT

__all__ = ["PARTS", "Cost", "measure"]

PARTS = 10  # of the campaign, by the blocks' order in time
_PLAN = 'name = "nothing"\nprobes = false\n[[cells]]\nnic = "virtio-net-pci"\nnetdev = "tap"\n'
# A block's run without a measurement, made by three programs: sh, mkdir and sed.
_BLOCK = 'mkdir "$2" && exec sed "s/@/$1/g" "$3" > "$2/run.json"'
_LEAST_SIZE = 16
_T_95 = 2.262  # Student's t for PARTS - 1 degrees of freedom


@dataclass(frozen=True, slots=True)
class Cost:
    """Times in seconds; `parts` are the means a block of equal parts of the campaign, and `alone` is the mean
    of the same command without the engine. Memory in MiB by process, when it was idle and at most."""

    blocks: int
    whole: float
    parts: tuple[float, ...]
    alone: float
    again: float
    memory: dict[str, tuple[float, float]]

    @property
    def block(self) -> tuple[float, float]:
        """The mean a block and half its 95 % interval, over the parts."""
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
        where = Cluster(cluster.address, patience=60)
        pids = {"scheduler": cluster.scheduler.pid, "worker": worker.pid, "client": os.getpid()}
        lab = str(folder / "lab.lock")
        _warm_up(folder, plan, where, command, lab)
        alone = _alone(folder, command, blocks // PARTS)
        idle = {name: _memory(pid, "VmRSS") for name, pid in pids.items()}
        began = time.time()
        target = BlockFolder(folder / "run", str(plan))
        with target.open():
            measure_blocks(target, where, SILENT, command, lab)
        whole = time.time() - began
        most = {name: _memory(pid, "VmHWM") for name, pid in pids.items()}
    ended = sorted((target.path / block.id).stat().st_ctime for block in target.plan.blocks)
    assert len(ended) == blocks
    began = time.time()
    assert not target.to_measure()
    again = time.time() - began
    step = blocks // PARTS
    # The first part begins with its first block: what comes before is in `whole`.
    marks = [ended[0], *ended[step - 1 :: step]]
    counts = [step - 1, *[step] * (PARTS - 1)]
    parts = tuple((end - begin) / count for begin, end, count in zip(marks, marks[1:], counts, strict=False))
    return Cost(blocks, whole, parts, alone, again, {name: (idle[name], most[name]) for name in pids})


def _warm_up(folder: Path, plan: Path, where: Cluster, command: tuple[str, ...], lab: str) -> None:
    """Ten blocks of another plan: every module is loaded then."""
    few = folder / "few.toml"
    few.write_text(plan.read_text().partition("size =")[0] + f"size = {[*range(16, 26)]}\n")
    target = BlockFolder(folder / "few", str(few))
    with target.open():
        measure_blocks(target, where, SILENT, command, lab)


def _alone(folder: Path, command: tuple[str, ...], number: int) -> float:
    """The mean time of the same command, begun by this process one after another."""
    (folder / "alone").mkdir()
    began = time.monotonic()
    for block in range(number):
        words = {"{block}": "block", "{folder}": str(folder / "alone" / str(block))}
        argv = ["setpriv", "--pdeathsig=TERM", "--", *(words.get(word, word) for word in command)]
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    return (time.monotonic() - began) / number


def _memory(pid: int, line: str) -> float:
    """MiB, from a line of /proc/PID/status in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition(f"{line}:")[2].split()[0]) / 1024
