"""A tap device in a namespace, opened by qtrace and passed to the unprivileged QEMU as a descriptor.

So QEMU needs neither the right to open /dev/net/tun nor CAP_NET_ADMIN.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qtrace.errors import LabError, MissingPrerequisite
from qtrace.lab.host.netns import Namespace

__all__ = ["Tap", "open_queues", "open_tap", "private_tun", "set_up"]


# linux/if_tun.h
_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR, _IFF_MULTI_QUEUE = 0x0002, 0x1000, 0x4000, 0x0100


@dataclass(frozen=True, slots=True)
class Tap:
    """A tap; `name` is the same in each namespace."""

    name: str
    fd: int


@contextlib.contextmanager
def open_tap(space: Namespace, name: str, *, header: bool = True) -> Iterator[Tap]:
    """A tap; with `header`, each frame follows a struct virtio_net_hdr."""
    descriptor = _attach(space, name, _IFF_VNET_HDR if header else 0)
    try:
        yield Tap(name, descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def open_queues(space: Namespace, name: str, number: int) -> Iterator[list[int]]:
    """The descriptors of a tap with so many queues, with a header before each frame."""
    with contextlib.ExitStack() as stack:
        queues = []
        for _ in range(number):
            queues.append(_attach(space, name, _IFF_VNET_HDR | _IFF_MULTI_QUEUE))
            stack.callback(os.close, queues[-1])
        yield queues


def private_tun() -> tuple[str, ...]:
    """Shell lines that make a /dev/net/tun which all may open, if only root may open the present one, unlike
    Debian's."""
    try:
        open_to_all = Path("/dev/net/tun").stat().st_mode & 0o006 == 0o006
    except OSError:
        return ()
    if open_to_all:
        return ()
    return ("mount -t tmpfs -o mode=755 none /dev/net", "mknod -m 666 /dev/net/tun c 10 200")


def set_up(space: Namespace, name: str, address: str, peer: str, peer_mac: str) -> None:
    """Give a tap its `address` (CIDR) and a permanent neighbour entry for the guest.

    The entry keeps ARP out of the counted frames.
    """
    space.ip("address", "add", address, "dev", name)
    space.ip("link", "set", name, "up")
    space.ip("neighbour", "replace", peer, "lladdr", peer_mac, "dev", name, "nud", "permanent")


def _attach(space: Namespace, name: str, more: int) -> int:
    """Make the tap in `space`; it exists as long as a process holds the descriptor."""

    def attach() -> int:
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        try:
            flags = _IFF_TAP | _IFF_NO_PI | more
            fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    try:
        return space.make(attach)
    except FileNotFoundError as exc:
        raise MissingPrerequisite("/dev/net/tun is missing", hint="run: modprobe tun") from exc
    except OSError as exc:
        raise LabError(f"cannot make a tap in {space.name}: {exc.strerror}") from exc
