"""A plan's blocks, measured by the workers of a Dask cluster and joined into one run.

Dask says which worker measures what. What is measured are files in a folder that the workers share with this
process (`block_folder`); through the scheduler goes a line for each block.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from qtrace import __version__
from qtrace.campaign.block_folder import BlockFolder
from qtrace.campaign.block_task import COMMAND, Order
from qtrace.errors import LabError, MissingPrerequisite, QtraceError
from qtrace.progress import Progress
from qtrace.store.run import RunReader

__all__ = ["Cluster", "measure_blocks", "measure_on_cluster"]

_LOOK = 1.0  # seconds between two looks at scheduler and workers
_TIME_TO_CLOSE = 1.0  # seconds; a client without its scheduler would try to reach it for longer
_ADDRESS = re.compile(r"(?:tcp|tls)://[^\s/]+:\d+")
_NAMED = 3  # blocks named in a message


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Dask scheduler, and what a worker must have to measure a block; of a plan with several QEMUs it must
    have that of the block too (`qemu-10.0`).

    `tls` are arguments of `distributed.Security`; without them Dask's own configuration holds. `patience` is
    the time in seconds for which the scheduler, or a worker with the resources, may be missing.
    """

    address: str
    resources: Mapping[str, float] = field(default_factory=lambda: {"lab": 1})
    tls: Mapping[str, str] = field(default_factory=dict)
    patience: float = 10.0

    def of(self, qemu: str) -> dict[str, float]:
        """The resources for a block whose cells are measured in the QEMU of that name."""
        return {**self.resources, **({f"qemu-{qemu}": 1.0} if qemu else {})}

    def start_worker(self, resources: Mapping[str, float]) -> str:
        """The command that starts a worker with these resources."""
        tls = " --tls-ca-file FILE --tls-cert FILE --tls-key FILE" * self.address.startswith("tls:")
        return f'dask worker {self.address} --nthreads 1 --resources "{_listed(resources)}"{tls}'


def measure_on_cluster(
    name: str,
    run: Path,
    cluster: Cluster,
    progress: Progress,
    argv: Sequence[str],
    command: Sequence[str] = COMMAND,
    lab: str = "",
) -> RunReader:
    """Have every block of the plan `name` measured that is not done, and join all into `run`.

    `argv` is what run.json says of the whole; the rest is as in `measure_blocks`.
    """
    folder = BlockFolder(run, name)
    with folder.open():
        if there := folder.merged():
            progress.done(f"{run} is there already: nothing is measured")
            return there
        measure_blocks(folder, cluster, progress, command, lab)
        progress.step(f"joining {len(folder.plan.blocks)} blocks")
        return folder.merge(argv)


def measure_blocks(
    folder: BlockFolder, cluster: Cluster, progress: Progress, command: Sequence[str] = COMMAND, lab: str = ""
) -> None:
    """Have every block measured that is not done, into the folder, which is open.

    `command` measures one block and `lab` is the lock of a machine's lab (`qtrace.campaign.block_task`).
    Raises QtraceError where a block was not measured: what is done stays, and the next call goes on.
    """
    due = folder.to_measure()
    for reason in filter(None, (reason for _, reason in due)):
        progress.warn(f"{reason}: the block is measured again")
    if not due:
        return
    orders = [Order(block, str(folder.path), folder.digest, tuple(command), lab) for block, _ in due]
    total = len(folder.plan.blocks)
    qemus = {block.id: block.cells[0].setting.qemu for block in folder.plan.blocks}
    try:
        with _connected(cluster) as client:
            _Campaign(client, cluster, total, qemus, progress).measure(orders)
    except KeyboardInterrupt:
        done = total - len(folder.to_measure())
        progress.warn(
            f"{done} of {total} blocks are measured and stay in {folder.path}: the same command goes on"
        )
        raise


@contextlib.contextmanager
def _connected(cluster: Cluster) -> Iterator[Any]:
    """A client of the scheduler. Raises MissingPrerequisite without Dask, LabError without a scheduler."""
    try:
        from distributed import Client, Security
    except ModuleNotFoundError as exc:
        raise MissingPrerequisite(
            f"--scheduler needs the Python package {exc.name}", hint="pip install 'qtrace[cluster]'"
        ) from exc
    if not _ADDRESS.fullmatch(cluster.address):
        raise MissingPrerequisite(
            f"{cluster.address!r} is no address of a scheduler", hint="tcp://HOST:8786 or tls://HOST:8786"
        )
    _silence_logs()
    security = Security(**cluster.tls) if cluster.tls else Security()
    try:
        # A client that cannot connect tries on, and one that reaches a silent stranger waits for ever.
        asyncio.run(asyncio.wait_for(_require_scheduler(cluster.address, security), cluster.patience))
        client = Client(cluster.address, timeout=cluster.patience, security=security, set_as_default=False)
    except Exception as exc:  # an OSError, one of ssl, or whatever a stranger's answer causes
        text = " ".join(str(exc).split())[:200] or f"no answer within {cluster.patience:g} s"
        raise LabError(
            f"no Dask scheduler answers at {cluster.address}: {text}",
            hint="start one on a trusted network: dask scheduler --host ADDRESS",
        ) from exc
    try:
        yield client
    finally:
        with contextlib.suppress(Exception):
            client.close(timeout=_TIME_TO_CLOSE)


async def _require_scheduler(address: str, security: Any) -> None:
    from distributed.core import rpc

    async with rpc(address, connection_args=security.get_connection_args("client")) as remote:
        kind = (await remote.identity())["type"]
    if kind != "Scheduler":
        raise OSError(f"it is a {kind}")


def _silence_logs() -> None:
    """Dask and tornado log, with tracebacks, what is said here in one message."""
    for name in (*logging.root.manager.loggerDict,):
        if name.partition(".")[0] in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _task() -> Callable[[Mapping[str, Any], str], dict[str, Any]]:
    """What a worker calls. A function inside a function is sent as code, so the scheduler needs no qtrace,
    and a worker without it can say so."""

    def measure(fields: Mapping[str, Any], version: str) -> dict[str, Any]:
        import socket

        host, found = socket.gethostname(), "none"
        try:
            import qtrace

            found = qtrace.__version__
        except ModuleNotFoundError:
            pass
        if found != version:
            text = f"has qtrace {found}, and this is {version}: install the same there"
            return {"kind": "refused", "text": text, "host": host, "seconds": 0.0}
        from qtrace.campaign.block_task import carry_out_order

        return carry_out_order(fields)

    return measure


class _Campaign:
    """The blocks on their way."""

    def __init__(
        self, client: Any, cluster: Cluster, total: int, qemus: Mapping[str, str], progress: Progress
    ) -> None:
        """`qemus` names the QEMU of each block, where the plan names any."""
        self._client = client
        self._cluster = cluster
        self._total = total
        self._qemus = qemus
        self._needs: list[dict[str, float]] = []  # the resources of all blocks, each set once
        self._lacking: Mapping[str, float] = {}  # those that a block waits for, and no worker has
        self._progress = progress
        self._done = 0
        self._workers = 0
        self._missing_since: float | None = None
        self._failed: dict[str, str] = {}

    def measure(self, orders: Sequence[Order]) -> None:
        """Submit every order and wait for all. Raises QtraceError where a block was not measured."""
        self._needs = self._needs_of(order.block for order in orders)
        self._await_worker()
        self._done = self._total - len(orders)
        needs = " or ".join(map(_listed, self._needs))
        workers = f"{self._workers} worker{'s' * (self._workers > 1)} with {needs}"
        self._progress.done(f"{workers}: {len(orders)} of {self._total} blocks are to be measured")
        ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        try:
            self._collect(self._submit(orders, ended), ended)
        except (OSError, CancelledError) as exc:  # at whatever moment the connection is lost
            raise self._gone() from exc
        if self._failed:
            self._raise_failed()

    def _submit(self, orders: Sequence[Order], ended: queue.SimpleQueue[Any]) -> dict[str, str]:
        """Each block by the key of its task. A task whose future nobody has any more, because it has been
        told or this client is closed, is forgotten by the scheduler and taken back from its worker."""
        blocks: dict[str, str] = {}
        for needs in self._needs:
            mine = [order for order in orders if self._cluster.of(self._qemus[order.block]) == needs]
            futures = self._client.map(
                _task(),
                [asdict(order) for order in mine],
                version=__version__,
                # A name of its own: what a client before this one began is nobody's any more.
                key=[f"{order.block}-{self._client.id}" for order in mine],
                resources=needs,
                pure=False,
            )
            blocks |= {future.key: order.block for future, order in zip(futures, mine, strict=True)}
            for future in futures:
                future.add_done_callback(ended.put)
        return blocks

    def _needs_of(self, blocks: Iterable[str]) -> list[dict[str, float]]:
        return [self._cluster.of(qemu) for qemu in dict.fromkeys(self._qemus[block] for block in blocks)]

    def _await_worker(self) -> None:
        deadline = time.monotonic() + self._cluster.patience
        while not self._able(self._needs):
            if time.monotonic() > deadline:
                raise self._no_worker()
            self._progress.step(f"waiting for a worker with {_listed(self._lacking)}")
            time.sleep(min(_LOOK, self._cluster.patience / 4))

    def _collect(self, waiting: dict[str, str], ended: queue.SimpleQueue[Any]) -> None:
        looked = time.monotonic()
        while waiting:
            with contextlib.suppress(queue.Empty):
                future = ended.get(timeout=_LOOK)
                if told := self._told(future):
                    self._take(waiting.pop(future.key), told)
                else:
                    future.add_done_callback(ended.put)
                del future
            if time.monotonic() - looked > _LOOK:
                self._look(self._needs_of(waiting.values()))
                looked = time.monotonic()

    def _take(self, block: str, told: Mapping[str, Any]) -> None:
        if told["kind"] == "refused":
            raise LabError(f"the worker on {told['host']} {told['text']}")
        self._done += 1
        place = f"[{self._done}/{self._total}] {block}"
        if told["kind"] == "done":
            self._progress.step(f"{place}: measured on {told['host']} in {told['seconds']:.0f} s")
        else:
            self._failed[block] = told["text"]
            self._progress.warn(f"{place}: not measured: {told['text']}")

    def _told(self, future: Any) -> dict[str, Any] | None:
        """The worker's answer, or what prevented one as a failure; None where the worker died with it, and
        another is asked."""
        if future.status == "error":
            text = " ".join(str(future.exception()).split())
            return {"kind": "failed", "text": text[:400]}
        if future.status == "finished":
            with contextlib.suppress(OSError, CancelledError):  # a TimeoutError is an OSError
                answer: dict[str, Any] = future.result(timeout=self._cluster.patience)
                return answer
        if future.status == "cancelled":
            raise self._gone()
        return None

    def _look(self, needs: Sequence[Mapping[str, float]]) -> None:
        """Raise LabError where nobody is left who could measure."""
        if self._client.status != "running":
            raise self._gone()
        before = self._workers
        if self._able(needs):
            self._missing_since = None
        else:
            self._missing_since = self._missing_since or time.monotonic()
            if time.monotonic() - self._missing_since > self._cluster.patience:
                raise self._no_worker()
        if self._workers < before:
            left = f"{self._workers} are left" if self._workers else "none is left: waiting for another"
            self._progress.warn(f"a worker is gone, and its block is measured again; {left}")

    def _able(self, needed: Sequence[Mapping[str, float]]) -> bool:
        """Whether each of these sets of resources has a worker with it."""
        try:
            workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        except OSError as exc:
            raise self._gone() from exc
        of_workers = [worker["resources"] for worker in workers]
        self._workers = sum(any(_has(own, needs) for needs in self._needs) for own in of_workers)
        lacking = (needs for needs in needed if not any(_has(own, needs) for own in of_workers))
        self._lacking = next(lacking, {})
        return not self._lacking

    def _raise_failed(self) -> None:
        named = [f"{block}: {text}" for block, text in list(self._failed.items())[:_NAMED]]
        more = len(self._failed) - len(named)
        raise LabError(
            f"{len(self._failed)} of {self._total} blocks were not measured: {'; '.join(named)}"
            + (f"; and {more} more" if more else ""),
            hint="what is done stays: the same command goes on",
        )

    def _gone(self) -> QtraceError:
        return LabError(
            f"the scheduler at {self._cluster.address} is gone, or has dropped the blocks",
            hint="start it and its workers again; what is done stays: the same command goes on",
        )

    def _no_worker(self) -> QtraceError:
        lacking = self._lacking
        return LabError(
            f"no worker of the scheduler at {self._cluster.address} has the resources {_listed(lacking)}",
            hint=f"start one: {self._cluster.start_worker(lacking)}; what is done stays",
        )


def _has(own: Mapping[str, float], needs: Mapping[str, float]) -> bool:
    return all(own.get(name, 0) >= number for name, number in needs.items())


def _listed(resources: Mapping[str, float]) -> str:
    """The resources as `dask worker --resources` takes them."""
    return " ".join(f"{name}={number:g}" for name, number in resources.items())
