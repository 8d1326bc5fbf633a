"""The part of a cluster's campaign that runs in a worker: one block, measured by a process of its own.

The process ends when the worker does. It holds the locks of its block and of this machine's lab itself, so
that neither is free before it has ended and cleaned up, however the worker died.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtrace.cache import hold
from qtrace.campaign.block_folder import why_not_done

__all__ = ["COMMAND", "Order", "carry_out_order", "lab_lock"]

# What measures a block. `{python}`, `{plan}`, `{block}` and `{folder}` are whole words.
COMMAND = ("{python}", "-m", "qtrace", "bench", "{plan}", "--block", "{block}", "-o", "{folder}")
_LOOK = 0.2  # seconds between two looks whether the block is still wanted
_TIME_TO_END = 60.0  # seconds for guests and namespaces to be removed
_SHOWN = 400  # characters of a failed command's output
_CANCELLED = ("cancelled", "released", "forgotten")
_ENDING = ("closing", "closing_gracefully", "closed", "failed")


@dataclass(frozen=True, slots=True)
class Order:
    """A block to be measured into `blocks`/`block`; `digest` is that of `blocks`/plan.toml, `lab` the lock
    of this machine's lab, or nothing for the usual one."""

    block: str
    blocks: str
    digest: str
    command: tuple[str, ...]
    lab: str = ""


class _Stopped(Exception):
    """The client or the scheduler no longer wants the block, or this worker ends."""


def lab_lock() -> Path:
    """The lock of this machine's lab, for workers of all users."""
    shared = Path("/run/lock")
    return (shared if os.access(shared, os.W_OK) else Path("/tmp")) / "qtrace-lab.lock"


def carry_out_order(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Measure a block, unless it is done. `fields` are those of `Order`.

    The answer has `kind` (`done`, `failed`, `stopped`, or `refused`: no block can be measured by this
    worker), `text`, `host` and `seconds`.
    """
    order = Order(**fields)
    began = time.monotonic()
    try:
        kind, text = _refusal(order) or _measured(order)
    except _Stopped:
        kind, text = "stopped", ""
    except OSError as exc:
        kind, text = "failed", str(exc)
    seconds = time.monotonic() - began
    return {"kind": kind, "text": text, "host": socket.gethostname(), "seconds": seconds}


def _refusal(order: Order) -> tuple[str, str] | None:
    plan = Path(order.blocks, "plan.toml")
    try:
        found = hashlib.sha256(plan.read_bytes()).hexdigest()
    except OSError as exc:
        return "refused", f"cannot read {plan} ({exc.strerror}): the folder of -o must be shared with it"
    if found != order.digest:
        return "refused", f"has another plan in {plan}: the folder of -o must be shared with it"
    return None


def _measured(order: Order) -> tuple[str, str]:
    blocks, target = Path(order.blocks), Path(order.blocks, order.block)
    lock = blocks / f".{order.block}.lock"
    # NFS wants a file that is locked to be open for writing.
    with _held(lock, os.O_RDWR) as mine:
        # Another worker may have measured it while this one waited.
        if why_not_done(target, order.block):
            work = blocks / f".{order.block}.part"
            shutil.rmtree(work, ignore_errors=True)  # of a worker that died
            try:
                with _held(Path(order.lab) if order.lab else lab_lock(), os.O_RDONLY) as lab:
                    reason = _run_command(order, work, (mine, lab))
                if reason:
                    return "failed", reason
                shutil.rmtree(target, ignore_errors=True)  # something that is not done
                (work / order.block).rename(target)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        # Whoever waits for this lock finds the block done.
        lock.unlink(missing_ok=True)
    return "done", ""


def _run_command(order: Order, work: Path, locks: Sequence[int]) -> str:
    """Run the order's command; why its folder is not the finished block, or nothing if it is."""
    folder, output = work / order.block, work / "output"
    work.mkdir()
    words = {
        "{python}": sys.executable,
        "{plan}": str(Path(order.blocks, "plan.toml")),
        "{block}": order.block,
        "{folder}": str(folder),
    }
    argv = [words.get(word, word) for word in order.command]
    with output.open("wb") as out:
        status = _ended([*("setpriv", "--pdeathsig=TERM", "--"), *argv], out.fileno(), locks)
    # Status 1 stands both for failed cells, which are recorded, and for a refused block.
    if (reason := why_not_done(folder, order.block)) or status not in (0, 1):
        said = _last_words(output)
        return said or f"its command ended with status {status}: {reason or 'its folder is whole'}"
    return ""


def _ended(argv: Sequence[str], out: int, locks: Sequence[int]) -> int:
    """The exit status of a command, which ends when this thread does or nobody wants the block any more."""
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, pass_fds=locks, process_group=0
    )
    try:
        while not _has_ended(process, _LOOK):
            if _stopped():
                process.send_signal(signal.SIGTERM)
                _has_ended(process, _TIME_TO_END)
                raise _Stopped
        return process.wait()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _has_ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether a process ends within some seconds; it is not reaped."""
    handle = os.pidfd_open(process.pid)
    try:
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)


@contextlib.contextmanager
def _held(file: Path, mode: int) -> Iterator[int]:
    """The descriptor of a lock file, locked. It stays locked as long as any process has the descriptor."""
    lock = _opened(file, mode)
    try:
        while not hold(lock):
            if _stopped():
                raise _Stopped
            time.sleep(_LOOK)
        yield lock
    finally:
        os.close(lock)


def _opened(file: Path, mode: int) -> int:
    """The file's descriptor, made if it is not there. In a folder that everybody can write to, the kernel
    forbids O_CREAT for a file of another user."""
    while True:
        with contextlib.suppress(FileNotFoundError):
            return os.open(file, mode | os.O_NOFOLLOW | os.O_CLOEXEC)
        with contextlib.suppress(FileExistsError):
            return os.open(file, mode | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)


def _stopped() -> bool:
    """Whether the scheduler has taken this task back (its client cancelled it, or died), or the worker ends
    (its scheduler died)."""
    from distributed import get_worker
    from distributed.worker import thread_state

    worker = get_worker()
    task = worker.state.tasks.get(getattr(thread_state, "key", None))
    return task is None or task.state in _CANCELLED or worker.status.name in _ENDING


def _last_words(output: Path) -> str:
    """The message with which a command ended, or the end of its output, on one line."""
    said = output.read_text(errors="replace")
    _, mark, message = f"\n{said}".rpartition("\nqtrace: ")
    return " ".join((message if mark else said).split())[-_SHOWN:]
