"""Which functions are stages, by role. The one place that knows; everything else asks.

They are QEMU's own interfaces between the parts of a path (net/net.h, hw/virtio/virtio.h,
hw/pci/pci.h), not functions of one NIC or back end, so a new device needs no entry here.
"""

from __future__ import annotations

from qtrace.model import Role

__all__ = [
    "DEQUEUE",
    "ENQUEUE",
    "FOR_LATER",
    "GUEST_NOTIFIER",
    "GUEST_WRITE",
    "HOST_READ",
    "HOST_RING",
    "HOST_WRITE",
    "INSIDE_ASIDE",
    "INSIDE_READ",
    "INSIDE_WRITE",
    "INTERRUPT",
    "INTERRUPTS",
    "KERNEL_VHOST",
    "LIBRARY_OF",
    "QUEUED",
    "QUEUE_NOTE",
    "SEND",
    "VIRTIO_DOORBELL",
    "VIRTIO_KICK",
]

# include/net/net.h: how a client hands a frame to its peer. The first on a path carries the stage.
SEND = frozenset(
    {
        "qemu_send_packet",
        "qemu_send_packet_async",
        "qemu_sendv_packet",
        "qemu_sendv_packet_async",
        "qemu_send_packet_raw",
    }
)
# Where the main loop enters a virtio device when the guest has written the doorbell (ioeventfd).
VIRTIO_KICK = "virtio_queue_host_notifier_read"
# Where a transport hands on a doorbell that no eventfd takes (ioeventfd=off): PCI, MMIO and CCW call it.
VIRTIO_DOORBELL = "virtio_queue_notify"
# What takes a frame or its descriptor out of guest memory, and what puts one there.
DEQUEUE = ("virtqueue_pop", "pci_dma_read")
GUEST_WRITE = ("virtqueue_push", "pci_dma_write")
ENQUEUE = ("virtqueue_fill", "pci_dma_write")
# How a device raises its interrupt, the usual first: hw/pci/msix.h, hw/pci/pci.h, hw/irq.h.
INTERRUPT = ("msix_notify", "pci_set_irq", "qemu_set_irq")
# All ways: hw/pci/msi.h, and an eventfd that somebody else waits for (hw/virtio/virtio.c, a guest notifier).
GUEST_NOTIFIER = "event_notifier_set"
INTERRUPTS = ("msix_notify", "msi_notify", "pci_set_irq", "qemu_set_irq", GUEST_NOTIFIER)
# Where a frame leaves and enters QEMU: system calls, and the functions of libraries.
HOST_WRITE = {
    **dict.fromkeys(("writev", "write", "sendmsg", "sendto", "send", "sendmmsg"), "syscall"),
    "slirp_input": "library",
    "vde_send": "library",
    "xsk_ring_prod__submit": "library",
}
HOST_READ = {
    **dict.fromkeys(("readv", "read", "recvmsg", "recvfrom", "recv", "recvmmsg"), "syscall"),
    "slirp_pollfds_poll": "library",
    "vde_recv": "library",
    "xsk_ring_cons__peek": "library",
}
# Which library has them, where its source can be had (`qtrace index --libraries`).
LIBRARY_OF = {
    **dict.fromkeys(("slirp_input", "slirp_pollfds_poll"), "libslirp"),
    **dict.fromkeys(("vde_send", "vde_recv"), "libvdeplug"),
}
# What a library's part ends in: a stream's calls are looked for before those of datagrams, because TCP
# is what most of a guest's frames carry.
INSIDE_WRITE = (("send", "write", "writev", "sendmsg"), ("sendto", "sendmmsg"))
INSIDE_READ = (("recv", "read", "readv", "recvmsg"), ("recvfrom", "recvmmsg"))
# Words in a library's functions that are another frame's way: the ordinary one is IPv4's.
INSIDE_ASIDE = ("ip6",)
# A ring that the host's kernel shares is told by an ioctl; so are many other things, hence only where a
# netdev has no other way (net/netmap.c).
HOST_RING = {"ioctl": "syscall"}

# include/qemu/main-loop.h, include/block/aio.h: what is done later, or wakes another thread. No frame goes on
# through them, though they write to an eventfd.
FOR_LATER = frozenset(
    {"qemu_set_fd_handler", "aio_set_fd_handler", "aio_notify", "event_notifier_set", "qemu_bh_schedule"}
)

# net/queue.c: where a frame that the peer cannot take now is kept, and what takes it up again.
QUEUED = ("qemu_net_queue_append", "qemu_net_queue_append_iov")
QUEUE_NOTE = "waits in the queue while the peer cannot receive; qemu_net_queue_flush takes it up again"

# With vhost-net the frames pass through Linux: drivers/vhost/net.c, drivers/vhost/vhost.c,
# drivers/net/tun.c. (function, file, role)
KERNEL_VHOST: dict[str, tuple[tuple[str, str, Role | None], ...]] = {
    "tx": (
        ("handle_tx_kick", "drivers/vhost/net.c", Role.KICK),
        ("handle_tx", "drivers/vhost/net.c", None),
        ("vhost_get_vq_desc", "drivers/vhost/vhost.c", None),
        ("tun_sendmsg", "drivers/net/tun.c", Role.DELIVER),
        ("vhost_add_used_and_signal_n", "drivers/vhost/vhost.c", Role.COMPLETE),
        ("eventfd_signal", "fs/eventfd.c", Role.INTERRUPT),
    ),
    "rx": (
        ("tun_net_xmit", "drivers/net/tun.c", None),
        ("handle_rx", "drivers/vhost/net.c", None),
        ("tun_recvmsg", "drivers/net/tun.c", Role.DELIVER),
        ("vhost_add_used_and_signal_n", "drivers/vhost/vhost.c", Role.ENQUEUE),
        ("eventfd_signal", "fs/eventfd.c", Role.INTERRUPT),
    ),
}
