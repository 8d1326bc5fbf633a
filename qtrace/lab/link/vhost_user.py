"""DPDK's testpmd in the namespace: it takes the frames from the guest's own queues, and has a tap for the
host."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from qtrace.distribution.identity import distribution
from qtrace.errors import MissingPrerequisite
from qtrace.lab.host.helper import Helper, start_helper
from qtrace.lab.host.netns import Namespace
from qtrace.lab.host.owned import private_dir
from qtrace.proc import has_device

__all__ = ["PROGRAM", "open_vhost_user"]

PROGRAM = "dpdk-testpmd"


@contextlib.contextmanager
def open_vhost_user(space: Namespace, tap: str, user: int) -> Iterator[tuple[Path, Helper]]:
    """The socket for QEMU's `vhost-user`, which `user` may use, and the switch, which makes `tap`.

    The switch polls: it takes a whole processor as long as it runs, frames or not.
    """
    program = shutil.which(PROGRAM)
    if not program:
        raise MissingPrerequisite(
            f"the netdev vhost-user needs {PROGRAM}, which is not installed",
            hint=distribution().hint(PROGRAM),
        )
    with private_dir(user) as home:
        path = home / "switch"
        processors = ",".join(map(str, sorted(os.sched_getaffinity(0))))
        command = ["env", f"RUNTIME_DIRECTORY={home}", program, "--no-huge", "-m", "128", "--no-pci"]
        # One thread forwards and the other waits; the kernel places both.
        command += ["--no-telemetry", "--no-shconf", "--lcores", f"(0,1)@({processors})"]
        command += ["--vdev", f"net_vhost0,iface={path}", "--vdev", f"net_tap0,iface={tap}"]
        command += ["--", "--total-num-mbufs=4096"]

        def ready(pid: int) -> bool:
            return path.is_socket() and has_device(pid, tap)

        with start_helper(space, PROGRAM, command, ready, f"open its socket and {tap}") as helper:
            path.chmod(0o666)  # no other user may enter this folder
            yield path, helper
