"""The functions that are stages, by role. All other modules use this list.

They are QEMU's own interfaces between the parts of a path (net/net.h, hw/virtio/virtio.h, hw/pci/pci.h),
not functions of one NIC or back end, so a new device needs no entry here.
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

# include/net/net.h: a client hands a frame to its peer. The first of these on a path carries the stage.
SEND = frozenset(
    {
        "qemu_send_packet",
        "qemu_send_packet_async",
        "qemu_sendv_packet",
        "qemu_sendv_packet_async",
        "qemu_send_packet_raw",
    }
)
# The main loop enters a virtio device here after the guest has written the doorbell (ioeventfd).
VIRTIO_KICK = "virtio_queue_host_notifier_read"
# A transport (PCI, MMIO, CCW) passes on a doorbell without an eventfd (ioeventfd=off) through these.
VIRTIO_DOORBELL = "virtio_queue_notify"
# include/hw/pci/pci.h: descriptors word by word, as hw/net/tulip.c and hw/net/eepro100.c do.
_ORDERS = ("le", "be")
_LOADS = tuple(f"ld{size}_{order}_pci_dma" for order in _ORDERS for size in ("uw", "l", "q"))
_STORES = tuple(f"st{size}_{order}_pci_dma" for order in _ORDERS for size in ("w", "l", "q"))
# Functions that read a frame or descriptor from guest memory, and functions that write one; the usual first.
DEQUEUE = ("virtqueue_pop", "pci_dma_read", *_LOADS)
GUEST_WRITE = ("virtqueue_push", "pci_dma_write", *_STORES)
ENQUEUE = ("virtqueue_fill", "pci_dma_write", *_STORES)
# How a device raises its interrupt, the usual first: hw/pci/msix.h, hw/pci/pci.h, hw/irq.h.
INTERRUPT = ("msix_notify", "pci_set_irq", "qemu_set_irq")
# All such functions: hw/pci/msi.h, and an eventfd that another process waits for (hw/virtio/virtio.c, a guest
# notifier).
GUEST_NOTIFIER = "event_notifier_set"
INTERRUPTS = ("msix_notify", "msi_notify", "pci_set_irq", "qemu_set_irq", GUEST_NOTIFIER)
# Functions by which a frame leaves and enters QEMU: system calls, and functions of libraries.
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
# Function -> its library, if the library's source is available (`qtrace index --libraries`).
LIBRARY_OF = {
    **dict.fromkeys(("slirp_input", "slirp_pollfds_poll"), "libslirp"),
    **dict.fromkeys(("vde_send", "vde_recv"), "libvdeplug"),
}
# The ends of a library's part: a stream's calls are searched for before those of datagrams, because most
# frames of a guest carry TCP.
INSIDE_WRITE = (("send", "write", "writev", "sendmsg"), ("sendto", "sendmmsg"))
INSIDE_READ = (("recv", "read", "readv", "recvmsg"), ("recvfrom", "recvmmsg"))
# Words in names of a library's functions that ordinary (IPv4) frames do not pass.
INSIDE_ASIDE = ("ip6",)
# The kernel is notified of a shared ring by an ioctl. Many other calls are ioctls too, so it counts only if a
# netdev has no other end (net/netmap.c).
HOST_RING = {"ioctl": "syscall"}

# include/qemu/main-loop.h, include/block/aio.h: functions that defer work, or wake another thread. No frame
# passes through them, although they write to an eventfd.
FOR_LATER = frozenset(
    {"qemu_set_fd_handler", "aio_set_fd_handler", "aio_notify", "event_notifier_set", "qemu_bh_schedule"}
)

# net/queue.c: the function that keeps a frame which the peer cannot accept now, and the one that resumes it.
QUEUED = ("qemu_net_queue_append", "qemu_net_queue_append_iov")
QUEUE_NOTE = "waits in the queue while the peer cannot receive; qemu_net_queue_flush takes it up again"

# With vhost-net, frames pass through Linux: drivers/vhost/net.c, drivers/vhost/vhost.c,
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
