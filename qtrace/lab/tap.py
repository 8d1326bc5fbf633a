"""A tap device in a namespace, opened here and handed to the unprivileged QEMU as a descriptor.

So QEMU needs neither the right to open /dev/net/tun nor CAP_NET_ADMIN.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qtrace.errors import LabError, MissingPrerequisite
from qtrace.lab.netns import Namespace

__all__ = ["Tap", "open_tap", "set_up"]


# linux/if_tun.h
_TUNSETIFF = 0x400454CA
_CLONE_NEWNET = 0x40000000  # linux/sched.h
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000


@dataclass(frozen=True, slots=True)
class Tap:
    """`name` is free to repeat: each one is alone in its namespace."""

    name: str
    fd: int


@contextlib.contextmanager
def open_tap(space: Namespace, name: str, *, header: bool = True) -> Iterator[Tap]:
    """A tap; with `header` each frame has a struct virtio_net_hdr before it."""
    descriptor = _attach(space, name, _IFF_VNET_HDR if header else 0)
    try:
        yield Tap(name, descriptor)
    finally:
        os.close(descriptor)


def set_up(space: Namespace, name: str, address: str, peer: str, peer_mac: str) -> None:
    """Give a tap its `address` (CIDR) and a permanent neighbour entry for the guest.

    The entry keeps ARP out of the counted frames.
    """
    space.ip("address", "add", address, "dev", name)
    space.ip("link", "set", name, "up")
    space.ip("neighbour", "replace", peer, "lladdr", peer_mac, "dev", name, "nud", "permanent")


def _enter(space: Namespace) -> None:
    """Move the calling thread into `space`. Python has setns only since 3.12."""
    library = ctypes.CDLL(None, use_errno=True)
    with Path(space.path).open("rb") as handle:
        if library.setns(handle.fileno(), _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), space.path)


def _attach(space: Namespace, name: str, more: int) -> int:
    """Make the tap inside `space`; it lives as long as somebody holds the descriptor."""
    outcome: list[int | OSError] = []

    def inside() -> None:
        # setns changes the calling thread alone; this thread ends at once. The descriptor belongs to
        # the namespace in which it was opened.
        try:
            _enter(space)
            descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
            try:
                flags = _IFF_TAP | _IFF_NO_PI | more
                fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
            except OSError:
                os.close(descriptor)
                raise
            outcome.append(descriptor)
        except OSError as exc:
            outcome.append(exc)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    if not outcome or isinstance(outcome[0], FileNotFoundError):
        raise MissingPrerequisite("/dev/net/tun is missing", hint="run: modprobe tun")
    if isinstance(outcome[0], OSError):
        raise LabError(f"cannot make a tap in {space.name}: {outcome[0].strerror}")
    return outcome[0]
