"""A guest whose processor executes nothing for a while, and whose QEMU does not know; and more frames than
its receive ring has buffers."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections.abc import Iterator

from exact import to_mac

from qtrace.lab.link.connection import Network
from qtrace.lab.link.link import MAC

__all__ = ["halted", "overfill", "ring"]

_BURST, _PAUSE = 250, 0.01  # frames and seconds: the kernel's queue of a tap takes 1000
SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17  # linux/ptrace.h


@contextlib.contextmanager
def halted(network: Network) -> Iterator[None]:
    """The guest's processor executes nothing, and QEMU does not know: its run state is `running`.

    ptrace stops this one thread of QEMU's, which waits for an interrupt without a lock in its hand.
    """
    (vcpu,) = network.guest.qmp("query-cpus-fast")  # type: ignore[misc]
    thread = int(vcpu["thread-id"])  # type: ignore[index]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    assert libc.ptrace(SEIZE, thread, None, None) == 0, os.strerror(ctypes.get_errno())
    try:
        assert libc.ptrace(INTERRUPT, thread, None, None) == 0
        os.waitpid(thread, 0x40000000)  # __WALL
        yield
    finally:
        assert libc.ptrace(DETACH, thread, None, None) == 0


def ring(network: Network) -> int:
    """The buffers of the virtio-net card's first receive queue, by QEMU's own word. They are 256, but 1024 in
    10.0.13, whatever rx_queue_size= says (hw/virtio/virtio.c, virtio_add_queue)."""
    devices: list[dict[str, str]] = network.guest.qmp("x-query-virtio")  # type: ignore[assignment]
    (path,) = [device["path"] for device in devices if device["name"] == "virtio-net"]
    queue: dict[str, int] = network.guest.qmp("x-query-virtio-queue-status", path=path, queue=0)  # type: ignore[assignment]
    return queue["vring-num"]


def overfill(network: Network, buffers: int, more: int) -> None:
    """Send so many frames to the guest, and more."""
    left = buffers + more
    while left > 0:
        to_mac(network, MAC, min(left, _BURST))
        left -= _BURST
        time.sleep(_PAUSE)
