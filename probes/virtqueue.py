"""QEMU's virtqueues (hw/virtio/virtio.c): elements taken and given back, kicks and interrupts."""

from __future__ import annotations

from qtrace.probes.family import Family, Point

__all__ = ["FAMILY"]

_TABLE = "virtqueue_slots"

FAMILY = Family(
    name="virtqueue",
    summary="virtqueue elements taken and given back by network cards, kicks and interrupts",
    needs=("uprobes",),
    points=(
        Point(
            "virtqueue_pop",
            (("uprobe", "on_virtqueue_pop"), ("uretprobe", "on_virtqueue_popped")),
            _TABLE,
            0,
            note="elements returned, not attempts",
            arguments=1,
        ),
        Point("virtqueue_push", (("uprobe", "on_virtqueue_push"),), _TABLE, 1),
        Point(
            "virtqueue_fill",
            (("uprobe", "on_virtqueue_fill"),),
            _TABLE,
            2,
            note="a frame is counted at its first element",
        ),
        Point(
            "virtio_queue_host_notifier_read",
            (("uprobe", "on_virtqueue_kick"),),
            _TABLE,
            3,
            note="kicks; one may announce many frames",
            arguments=1,
        ),
        Point(
            "msix_notify",
            (("uprobe", "on_msix_notify"),),
            _TABLE,
            4,
            note="interrupts really sent",
            arguments=1,
        ),
    ),
    layout=(
        "VirtQueue.vdev",
        "VirtQueue.queue_index",
        "VirtQueue.host_notifier",
        "VirtIODevice.device_id",
        "VirtQueueElement.out_num",
        "VirtQueueElement.in_num",
    ),
)
