"""What the kernel says of a process that more than one room asks for."""

from __future__ import annotations

import contextlib
from pathlib import Path

from qtrace.errors import TargetError

__all__ = ["command_line", "vhost_worker"]

_LARGEST = 2**20


def command_line(pid: int) -> list[str]:
    """The arguments of a running process. Raises TargetError."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()[:_LARGEST]
    except OSError as exc:
        raise TargetError(f"there is no process {pid}", hint="see 'pgrep -a qemu'") from exc
    return [word.decode(errors="replace") for word in raw.split(b"\0")[:-1]]


def vhost_worker(pid: int) -> int | None:
    """The thread id of QEMU's vhost worker, `vhost-<pid>`; None where the kernel carries no frames for it.

    A kernel thread of its own, and since Linux 6.4 a thread of the process (kernel/vhost_task.c).
    """
    name = f"vhost-{pid}"[:15]
    for entry in (*Path("/proc").glob("[0-9]*"), *Path(f"/proc/{pid}/task").glob("[0-9]*")):
        with contextlib.suppress(OSError):
            if (entry / "comm").read_text().strip() == name:
                return int(entry.name)
    return None
