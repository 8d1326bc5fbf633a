"""A server inside the namespace, awaited until it listens, ended with the block."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from qtrace.lab.guest.guest import Guest
from qtrace.lab.host.helper import Helper, start_helper
from qtrace.lab.host.netns import Namespace

__all__ = ["serve"]

_LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp


@contextlib.contextmanager
def serve(
    place: Namespace | Guest, command: Sequence[str], port: int, timeout: float = 120.0
) -> Iterator[Helper | None]:
    """Run `command` in a namespace or a guest until the block ends; the block begins when TCP `port` listens.
    Gives the process, None in a guest."""
    if isinstance(place, Guest):
        _serve_in(place, command, port, timeout)
        yield None  # it ends with its guest
        return
    ready = f"listen on port {port}"
    with start_helper(
        place, command[0], command, lambda pid: _listens(pid, port), ready, timeout=timeout
    ) as helper:
        yield helper


def _serve_in(guest: Guest, command: Sequence[str], port: int, timeout: float) -> None:
    seen = f"grep -q ':{port:04X} .* {_LISTEN} ' /proc/net/tcp /proc/net/tcp6 2>/dev/null"
    tries = max(1, int(timeout / 0.05))
    guest.sh(
        f"{shlex.join(command)} >/tmp/server-{port} 2>&1 & for n in $(seq {tries}); do {seen} && exit 0; "
        f"kill -0 $! 2>/dev/null || break; usleep 50000; done; cat /tmp/server-{port}; exit 1",
        timeout=timeout + 30,
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
