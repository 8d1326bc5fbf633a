"""How a virtio network card's queues are set up: from QEMU's memory, as `net_clients`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qtrace.errors import TargetError
from qtrace.trace.qemu.memory import Memory

__all__ = ["LAYOUT", "VirtioQueues", "read_virtio_queues"]

# Fields of hw/net/virtio-net.c's and hw/virtio/virtio.c's structs; one that an index lacks is not known.
LAYOUT = (
    "VirtIODevice.host_features",
    "VirtIONet.curr_queue_pairs",
    "VirtIONet.max_queue_pairs",
    "VirtQueue.host_notifier_enabled",
    "VirtQueue.shadow_avail_idx",
    "VirtQueue.last_avail_idx",
    "VirtQueue.vring",
    "VRing.num",
)


@dataclass(frozen=True, slots=True)
class VirtioQueues:
    """What one pair of a card's queues is like, None where that is not known.

    `offered` are the features that the device offers its driver; `pairs` of `most_pairs` serve; `rx_size` and
    `tx_size` are the rings' lengths in buffers; `notified` is whether a kick is an eventfd's (ioeventfd);
    `rx_free` are the receive buffers that the device knew of and had not used.
    """

    offered: int | None = None
    pairs: int | None = None
    most_pairs: int | None = None
    rx_size: int | None = None
    tx_size: int | None = None
    notified: bool | None = None
    rx_free: int | None = None


def read_virtio_queues(
    memory: Memory, card: int, virtqueues: tuple[int, int], layout: Mapping[str, int]
) -> VirtioQueues:
    """Of the card at this address, and its queue pair's (receive, send) VirtQueues."""

    def number(at: int, *fields: str, size: int = 2) -> int | None:
        try:
            return memory.number(at + sum(layout[field] for field in fields), size)
        except (KeyError, TargetError):
            return None

    receive, send = virtqueues
    known, used = number(receive, "VirtQueue.shadow_avail_idx"), number(receive, "VirtQueue.last_avail_idx")
    notified = number(send, "VirtQueue.host_notifier_enabled", size=1)
    return VirtioQueues(
        number(card, "VirtIODevice.host_features", size=8),
        number(card, "VirtIONet.curr_queue_pairs"),
        number(card, "VirtIONet.max_queue_pairs"),
        number(receive, "VirtQueue.vring", "VRing.num", size=4),
        number(send, "VirtQueue.vring", "VRing.num", size=4),
        None if notified is None else bool(notified),
        None if known is None or used is None else (known - used) & 0xFFFF,
    )
