"""A VDE switch in the namespace, with a tap on one of its ports for the host."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from qtrace.distribution.identity import distribution
from qtrace.errors import MissingPrerequisite
from qtrace.lab.host.helper import Helper, start_helper
from qtrace.lab.host.netns import Namespace
from qtrace.lab.host.owned import private_dir
from qtrace.proc import has_device

__all__ = ["open_vde"]


@contextlib.contextmanager
def open_vde(space: Namespace, tap: str, user: int) -> Iterator[tuple[Path, Helper]]:
    """The folder for QEMU's `vde,sock=`, which `user` may use, and the switch, which makes `tap`."""
    program = shutil.which("vde_switch")
    if not program:
        raise MissingPrerequisite(
            "the netdev vde needs vde_switch, which is not installed",
            hint=distribution().hint("vde_switch"),
        )
    with private_dir(user) as home:
        folder = home / "vde"
        # QEMU creates a socket beside the switch's. No other user may enter this folder.
        command = [program, "--sock", str(folder), "--dirmode", "0777", "--mode", "0666"]
        command += ["--rcfile", "/dev/null", "--tap", tap]

        def ready(pid: int) -> bool:
            return (folder / "ctl").is_socket() and has_device(pid, tap)

        with start_helper(space, "vde_switch", command, ready, f"open its socket and {tap}") as helper:
            yield folder, helper
