"""What is tried: every NIC of a PC that Debian's installer drives, in each way in which it tells and is told.

All are tried on pc and on q35, in two releases of QEMU and with two of the guest, the NICs on three back
ends, but not each with each: docs/foreign.md has the table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

__all__ = ["EACH_WAY", "INSTALLED", "MACHINES", "NEXT", "Machine"]

INSTALLED, NEXT = "installed", "trixie"  # whose QEMU


@dataclass(frozen=True)
class Machine:
    """What to start: `nic` is the argument of -device without netdev= and mac=, `driver` the guest's modules
    with their parameters, `release` whose installer it is, `qemu` whose QEMU. A tap has `queues`."""

    nic: str
    driver: str
    netdev: str = "tap"
    machine: str = "pc"
    release: str = "bookworm"
    qemu: str = INSTALLED
    queues: int = 1

    @property
    def model(self) -> str:
        """The type, without its properties."""
        return self.nic.partition(",")[0]

    @property
    def usb(self) -> bool:
        return self.model.startswith("usb-")

    @property
    def kind(self) -> str:
        """The NIC and the driver that it is tried with, as one word."""
        words = (self.nic, self.driver.rpartition("; ")[2])
        return "-".join(re.sub(r"[^A-Za-z0-9_.=]+", "-", word) for word in words)

    def __str__(self) -> str:
        return "-".join((self.kind, self.machine, self.netdev, self.release, self.qemu))


_VIRTIO = "virtio_pci; virtio_net"
_NICS = (
    Machine("e1000", "e1000"),
    Machine("e1000-82545em", "e1000"),
    Machine("e1000e", "e1000e"),  # MSI-X
    Machine("e1000e", "e1000e IntMode=1"),  # MSI, if it passes Linux's test of it
    Machine("e1000e", "e1000e IntMode=0"),  # the pin
    Machine("vmxnet3", "vmxnet3"),
    Machine("rtl8139", "8139cp"),
    Machine("pcnet", "pcnet32"),
    Machine("ne2k_pci", "ne2k-pci"),
    Machine("tulip", "tulip"),
    Machine("i82559er", "e100"),
    Machine("virtio-net-pci", _VIRTIO),
    Machine("usb-net", "xhci_pci; rndis_host"),
)
_VARIANTS = (
    Machine("rtl8139", "8139too"),
    Machine("virtio-net-pci-transitional", _VIRTIO),
    Machine("virtio-net-pci-non-transitional", _VIRTIO),
    Machine("virtio-net-pci,vectors=0", _VIRTIO),
    Machine("virtio-net-pci,ioeventfd=off", _VIRTIO),
    Machine("virtio-net-pci,packed=on", _VIRTIO),
    Machine("virtio-net-pci,mrg_rxbuf=off", _VIRTIO),
    Machine("virtio-net-pci,tx=timer", _VIRTIO),
)
_TWO_QUEUES = Machine("virtio-net-pci,mq=on,vectors=6", _VIRTIO, queues=2)  # only a tap has several
_MMIO = Machine("virtio-net-device", "virtio_mmio; virtio_net", machine="microvm")
_IGB = Machine("igb", "igb", qemu=NEXT, release="trixie")  # since QEMU 8.0

MACHINES = (
    _MMIO,
    _IGB,
    _TWO_QUEUES,
    *_NICS,
    *_VARIANTS,
    *(replace(machine, machine="q35", netdev="socket", release="trixie", qemu=NEXT) for machine in _NICS),
    *(replace(machine, machine="q35", netdev="user", release="trixie", qemu=NEXT) for machine in _VARIANTS),
    *(replace(machine, machine="q35", netdev="user", release="trixie") for machine in _NICS),
    replace(_TWO_QUEUES, machine="q35", release="trixie", qemu=NEXT),
    *(replace(_IGB, machine="q35", netdev=netdev) for netdev in ("user", "socket")),
    *(replace(_MMIO, netdev=netdev) for netdev in ("user", "socket")),
    replace(_MMIO, release="trixie", qemu=NEXT),
)

# Those of which each goes a way of its own: what `make test` tries.
EACH_WAY = (
    Machine("e1000e", "e1000e", machine="q35"),
    Machine("tulip", "tulip", netdev="socket"),
    Machine("vmxnet3", "vmxnet3"),
    Machine("i82559er", "e100", netdev="user"),
    Machine("virtio-net-pci,vectors=0", _VIRTIO),
    Machine("virtio-net-pci,ioeventfd=off", _VIRTIO),
    _MMIO,
    _IGB,
)
