"""What the kernel says of a process that more than one room asks for."""

from __future__ import annotations

import contextlib
from pathlib import Path

__all__ = ["vhost_worker"]


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
