"""QEMU's virtqueues (hw/virtio/virtio.c): elements taken and returned, and kicks."""

from __future__ import annotations

from enum import IntEnum

from qtrace.probes.family import Family, Point
from qtrace.probes.shared import Shared

__all__ = ["FAMILY", "SHARED"]

_TABLE = "virtqueue_slots"


class _Hit(IntEnum):
    """The stage of a queue; index of `virtqueue_slots`."""

    POP = 0
    PUSH = 1
    FILL = 2
    KICK = 3
    NOTIFY = 4


SHARED = Shared(enums={"VQ": _Hit})
FAMILY = Family(
    name="virtqueue",
    summary="virtqueue elements taken and returned by network cards, and kicks",
    needs=("uprobes",),
    points=(
        Point(
            "virtqueue_pop",
            (("uprobe", "on_virtqueue_pop"), ("uretprobe", "on_virtqueue_popped")),
            _TABLE,
            _Hit.POP,
            note="elements returned, not attempts",
            arguments=1,
        ),
        Point("virtqueue_push", (("uprobe", "on_virtqueue_push"),), _TABLE, _Hit.PUSH),
        Point(
            "virtqueue_fill",
            (("uprobe", "on_virtqueue_fill"),),
            _TABLE,
            _Hit.FILL,
            note="a frame is counted at its first element",
        ),
        Point(
            "virtio_queue_host_notifier_read",
            (("uprobe", "on_virtqueue_kick"),),
            _TABLE,
            _Hit.KICK,
            note="kicks; one may announce many frames",
            arguments=1,
        ),
        Point(
            "virtio_queue_notify",
            (("uprobe", "on_virtqueue_notify"),),
            _TABLE,
            _Hit.NOTIFY,
            note="kicks through the device's registers",
            arguments=2,
        ),
    ),
    layout=(
        "VirtQueue.vdev",
        "VirtQueue.queue_index",
        "VirtQueue.host_notifier",
        "VirtQueue.host_notifier_enabled",
        "VirtIODevice.vq",
        "VirtIODevice.device_id",
        "VirtQueueElement.out_num",
        "VirtQueueElement.in_num",
    ),
    tables=(_TABLE,),
    memories=("popping",),
)
