"""A server inside the namespace, awaited until it listens, ended with the block."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from qtrace.lab.host.helper import Helper, start_helper
from qtrace.lab.host.netns import Namespace

__all__ = ["serve"]

_LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp


def serve(
    space: Namespace, command: Sequence[str], port: int, timeout: float = 30.0
) -> AbstractContextManager[Helper]:
    """Run `command` in `space` until the block ends; the block begins when TCP `port` listens."""
    return start_helper(
        space,
        command[0],
        command,
        lambda pid: _listens(pid, port),
        f"listen on port {port}",
        timeout=timeout,
    )


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
