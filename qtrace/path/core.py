"""The files of QEMU's own part of every path, found by a function or a field that each defines."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property, lru_cache

from qtrace.store.index import Index

__all__ = ["Core", "core_of"]

# include/net/net.h and include/net/queue.h: a client hands a frame to its peer, and a frame waits in a queue.
_NET = ("qemu_send_packet_async", "qemu_net_queue_send")
# include/hw/virtio/virtio.h, and the field with which each transport (PCI, MMIO, CCW) notifies the guest.
_VIRTIO, _TRANSPORT = ("virtio_notify",), "VirtioBusClass.notify"
# include/hw/pci/pci.h, msix.h and msi.h.
_PCI = ("pci_set_irq", "msix_notify", "msi_notify")


@lru_cache(maxsize=4)  # each half of a walk asks
def core_of(index: Index) -> Core:
    """The same `Core` for all walks of an index."""
    return Core(index)


class Core:
    """The core files of one index."""

    def __init__(self, index: Index) -> None:
        self._index = index

    @cached_property
    def net(self) -> frozenset[str]:
        """The files between two clients: net/net.c, net/queue.c."""
        return self._having(_NET)

    @cached_property
    def bus(self) -> frozenset[str]:
        """Virtio's core and its transports, and PCI's interrupts."""
        notify = self._index.registrations(_TRANSPORT)
        transports = {int(value) for what, value, *_ in notify if what == "function" and value.isdigit()}
        return self._having((*_VIRTIO, *_PCI)) | frozenset(self._index.files_with(transports))

    def _having(self, names: Iterable[str]) -> frozenset[str]:
        return frozenset(row.file for name in names for row in self._index.function(name) if row.file)
