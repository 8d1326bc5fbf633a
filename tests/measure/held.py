"""A guest whose processor executes nothing for a while, and whose QEMU does not know; and more frames than
its receive ring has buffers."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections.abc import Iterator

from exact import to_mac
from frames import tap_counters

from qtrace.lab.link.connection import Network
from qtrace.lab.link.link import MAC

__all__ = ["halted", "overfill", "ring"]

_BURST, _STILL = 250, 0.2  # frames and seconds
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
    """Send so many frames to the guest, and more; none comes before QEMU has read those before, as far as the
    ring takes them: the tap keeps 1000 and drops the rest."""
    before, sent = tap_counters(network)["tx_packets"], 0
    while sent < buffers + more:
        number = min(buffers + more - sent, _BURST)
        to_mac(network, MAC, number)
        sent += number
        _read(network, before + min(sent, buffers))


def _read(network: Network, wanted: int) -> None:
    """Until QEMU has read so many from its tap, or reads no more: its ring was not empty."""
    last, moved = -1, time.monotonic()
    while (now := tap_counters(network)["tx_packets"]) < wanted:
        if now != last:
            last, moved = now, time.monotonic()
        elif time.monotonic() - moved > _STILL:
            return
        time.sleep(0.005)
