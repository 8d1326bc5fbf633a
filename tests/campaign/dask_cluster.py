"""A Dask cluster on this machine's loopback, its clients, and campaigns of blocks that only sleep."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qtrace.campaign.plan import Plan, load_plan
from qtrace.store.run import RunReader, RunWriter

__all__ = ["DEADLINE", "Campaign", "Client", "DaskCluster", "until"]

DEADLINE = 300.0
HERE = Path(__file__).parent
_PLAN = """
name = "sleeping"
repetitions = 1
probes = false
[[cells]]
nic = "virtio-net-pci"
netdev = "tap"
directions = ["tx"]
workloads = ["tcp"]
{lists}
"""
# qtrace is not needed there, and results do not pass it.
_SCHEDULER = (
    "import sys; sys.modules['qtrace'] = None; from distributed.cli.dask_scheduler import main; main()"
)
_WORKER = "{before}; from distributed.cli.dask_worker import main; main()"


def until(true: Callable[[], Any], what: str, seconds: float = DEADLINE) -> Any:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)
    return found


class DaskCluster:
    """A scheduler and its workers, each a process. A context manager."""

    def __init__(self, folder: Path, *tls: str) -> None:
        self._folder = folder
        self._tls = tls
        self._number = 0
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler: subprocess.Popen[bytes]
        self.address = ""

    def __enter__(self) -> DaskCluster:
        self.start_scheduler()
        return self

    def __exit__(self, *_: object) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()

    def start_scheduler(self) -> None:
        """A new scheduler, at an address of its own."""
        self._number += 1
        file = self._folder / f"scheduler-{self._number}.json"
        words = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
        words += ["--protocol", "tls"] if self._tls else []
        self.scheduler = self._start([sys.executable, "-c", _SCHEDULER, *words, *self._tls])

        def address() -> str:
            assert self.scheduler.poll() is None, self.log
            try:
                return str(json.loads(file.read_text())["address"])
            except (OSError, ValueError):
                return ""

        self.address = until(address, "the scheduler is up")

    def start_worker(self, resources: str = "lab=1", before: str = "pass") -> subprocess.Popen[bytes]:
        """A worker of one thread; `before` is Python that it executes first."""
        self._number += 1
        words = [self.address, "--no-nanny", "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"]
        words += ["--resources", resources] if resources else []
        words += ["--local-directory", str(self._folder), "--name", str(self._number), *self._tls]
        worker = self._start([sys.executable, "-c", _WORKER.format(before=before), *words])
        self.workers.append(worker)
        return worker

    def _start(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self._folder / "dask.log").open("ab") as log:
            return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def registered(self) -> int:
        """How many workers have come to schedulers of this cluster so far."""
        return self.log.count("Register worker addr")

    @property
    def log(self) -> str:
        """What the scheduler and the workers logged."""
        return (self._folder / "dask.log").read_text()

    def end(self, process: subprocess.Popen[bytes], how: int = signal.SIGKILL) -> None:
        """End a worker or the scheduler."""
        process.send_signal(how)
        process.wait(timeout=DEADLINE)
        if process in self.workers:
            self.workers.remove(process)


class Client:
    """The driver as a process; what it says is in a file."""

    def __init__(self, argv: Sequence[str], said: Path) -> None:
        self._said = said
        with said.open("wb") as out:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, process_group=0
            )

    @property
    def said(self) -> str:
        return self._said.read_text()

    def end(self, seconds: float = DEADLINE) -> int:
        """Its exit status, once it has ended by itself."""
        return self.process.wait(timeout=seconds)

    def interrupt(self, how: int) -> int:
        self.process.send_signal(how)
        return self.end()


class Campaign:
    """A plan of blocks that sleep: `run` is what it makes, `events` what the blocks recorded. `lists` make
    the blocks, without them a list of sizes."""

    def __init__(self, folder: Path, blocks: int, seconds: float, lists: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.seconds = seconds
        self.record = folder / "record"
        self.run = folder / "run"
        self.blocks = folder / "run.blocks"
        self.plan_file = folder / "plan.toml"
        lists = lists or f"size = {[64 + number for number in range(blocks)]}"
        self.plan_file.write_text(_PLAN.format(lists=lists))
        self.plan: Plan = load_plan(str(self.plan_file))
        self.ids = [block.id for block in self.plan.blocks]
        assert len(self.ids) == blocks
        for block in self.plan.blocks:
            self.write(folder / "templates" / block.id, block.id)

    def write(self, path: Path, block: str, status: str = "complete") -> None:
        """A block's run, with one measurement."""
        meta = {"qtrace": "0", "command": [], "venue": "host", "paths": [], "plan": self.plan.to_json()}
        meta |= {"conditions": {"CPU": "A"}, "blocks": [block]}
        nic, way, workload, *words = block.split("+")
        cell = "+".join((nic, "tap", "qemu", way, workload, *words))
        row = {"metric": "throughput", "value": 1.0, "unit": "bit/s", "status": "ok"}
        with RunWriter.create(path, meta) as writer:
            writer.add(cell, 1, False, {"results": [row]}, {})
            writer.finish(status)

    def start(self, address: str, patience: float = 120.0, tls: Sequence[str] = ()) -> Client:
        """The driver, with Dask's own options for tls."""
        sleeper = (str(HERE / "sleeping_block.py"), "{block}", "{folder}")
        command = ("{python}", "-I", "-S", *sleeper, str(self._folder / "templates"), str(self.record))
        argv = [sys.executable, str(HERE / "cluster_driver.py"), str(self.plan_file), str(self.run), address]
        argv += [str(patience), str(self._folder / "lab.lock"), ",".join(tls[1::2])]
        argv += [*command, str(self.seconds)]
        number = len(list(self._folder.glob("said-*")))
        return Client(argv, self._folder / f"said-{number}")

    def hold(self, number: int) -> None:
        """The block that begins as this one waits for `release`."""
        Path(f"{self.record}.hold").write_text(str(number))

    def hold_step(self, text: str) -> None:
        """The client stays at the step with this text until `release`."""
        Path(f"{self.run}.hold").write_text(text)

    def release(self) -> None:
        for place in (self.record, self.run):
            Path(f"{place}.hold").unlink(missing_ok=True)

    @property
    def events(self) -> list[dict[str, Any]]:
        """What the blocks recorded, in order."""
        try:
            return [json.loads(line) for line in self.record.read_text().splitlines()]
        except FileNotFoundError:
            return []

    def number(self, event: str) -> int:
        return sum(one["event"] == event for one in self.events)

    @property
    def done(self) -> list[str]:
        """The blocks that have their final name."""
        return [block for block in self.ids if (self.blocks / block).is_dir()]

    def require_whole(self) -> None:
        """Every block is in the run once, as one process measured it from begin to end; nothing was measured
        again once it was done, and no two at the same time. Nothing half-written is left."""
        run = RunReader.open(self.run)
        assert run.meta["status"] == "complete" and run.meta["plan"] == self.plan.to_json()
        (host,) = run.meta["hosts"]
        assert Counter(host["blocks"]) == Counter(self.ids)
        assert len(run.table("results")) == len(self.ids) and not run.damaged
        events = self.events
        assert not [one for one in events if one["event"] == "overlap"]
        for block in self.ids:
            token = json.loads((self.run / "raw" / f"{block}.1.plain" / "token.json").read_text())
            mine = [one for one in events if one["block"] == block]
            last = mine[-2:]
            assert [(one["event"], one["token"]) for one in last] == [("begin", token), ("end", token)], mine
        assert sorted(path.name for path in self.blocks.iterdir()) == sorted(
            [".client", "plan.toml", *self.ids]
        )
        assert sorted(path.name for path in self.run.parent.iterdir() if path.name.startswith(".")) == []
        self._require_no_two_at_once(events)

    def _require_no_two_at_once(self, events: Sequence[dict[str, Any]]) -> None:
        """The intervals of those that went through; one that was killed has no end to be recorded, and the
        lock that each holds (`overlap`) tells of it."""
        begun = {one["token"]: one["time"] for one in events if one["event"] == "begin"}
        intervals = sorted((begun[one["token"]], one["time"]) for one in events if one["event"] == "end")
        assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(intervals))
