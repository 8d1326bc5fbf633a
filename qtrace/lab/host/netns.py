"""A network namespace that has only a loopback at first: the network of one experiment."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from qtrace.errors import LabError
from qtrace.lab.host.host_rights import require_rights
from qtrace.lab.host.owned import ip, own, unique_name
from qtrace.proc import Counters, read_counters

__all__ = ["Counters", "Namespace", "open_namespace", "read_counters"]

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000  # linux/sched.h


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace by name. It is isolated: no uplink, and only addresses of its own."""

    name: str

    @property
    def path(self) -> str:
        """The path for setns and nsenter."""
        return f"/run/netns/{self.name}"

    def argv(self, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` in the namespace."""
        return ["nsenter", f"--net={self.path}", "--", *command]

    def ip(self, *args: str) -> str:
        """Run `ip` in the namespace."""
        return ip("-netns", self.name, *args)

    def make(self, maker: Callable[[], T]) -> T:
        """The result of `maker`, called in the namespace: a socket or tap belongs to the namespace that
        opened it.

        Raises OSError.
        """
        made: list[T] = []
        failed: list[OSError] = []

        def inside() -> None:
            # setns changes the calling thread only; this thread ends at once.
            try:
                _enter(self.path)
                made.append(maker())
            except OSError as exc:
                failed.append(exc)

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        return made[0]

    def sysctl(self, key: str, value: str) -> None:
        """Set a network sysctl of this namespace only."""
        said = subprocess.run(
            self.argv(["busybox", "sysctl", "-q", "-w", f"{key}={value}"]),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        if said.returncode != 0:
            raise LabError(f"cannot set {key} in {self.name}: {(said.stderr or said.stdout).strip()}")


def _enter(path: str) -> None:
    """Move the calling thread into the namespace at `path`. Python has setns only since 3.12."""
    library = ctypes.CDLL(None, use_errno=True)
    with Path(path).open("rb") as handle:
        if library.setns(handle.fileno(), _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)


@contextlib.contextmanager
def open_namespace() -> Iterator[Namespace]:
    """A new namespace, with loopback up and IPv6 off; removed at the end with everything in it.

    Raises MissingPrerequisite, LabError.
    """
    require_rights()
    name = unique_name()
    with own("netns", name):
        space = Namespace(name)
        try:
            ip("netns", "add", name)
            # Without IPv6, no router solicitation or neighbour discovery is among the counted frames.
            space.sysctl("net.ipv6.conf.all.disable_ipv6", "1")
            space.sysctl("net.ipv6.conf.default.disable_ipv6", "1")
            space.ip("link", "set", "lo", "up")
            yield space
        finally:
            if Path(space.path).exists():  # also if the creation was interrupted half way
                ip("netns", "delete", name)
