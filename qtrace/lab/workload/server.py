"""A server inside the namespace, waited for until it listens, ended with the block."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from qtrace.errors import LabError, MissingPrerequisite
from qtrace.lab.netns import Namespace

__all__ = ["Metric", "serve"]

# metric, value, unit
Metric = tuple[str, float, str]

_LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp


@contextlib.contextmanager
def serve(
    space: Namespace, command: Sequence[str], port: int, timeout: float = 30.0
) -> Iterator[subprocess.Popen[str]]:
    """Run `command` in `space` until the block ends; entered when TCP `port` listens."""
    try:
        process = subprocess.Popen(
            space.argv(["setpriv", "--pdeathsig=KILL", "--", *command]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
    except FileNotFoundError as exc:
        raise MissingPrerequisite(
            f"{exc.filename} is missing", hint="run: apt-get install util-linux"
        ) from exc
    try:
        deadline = time.monotonic() + timeout
        while not _listens(process.pid, port):
            if process.poll() is not None:
                said = process.stderr.read().strip() if process.stderr else ""
                raise LabError(f"{command[0]} ended with status {process.returncode}: {said[-300:]}")
            if time.monotonic() > deadline:
                raise LabError(f"{command[0]} did not listen on port {port} within {timeout:.0f} s")
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.communicate()


def _listens(pid: int, port: int) -> bool:
    """Whether a TCP socket listens on `port` in the network namespace of `pid`."""
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            return False
        for line in lines:
            field = line.split()
            if field[3] == _LISTEN and field[1].endswith(f":{port:04X}"):
                return True
    return False
