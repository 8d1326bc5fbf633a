"""Whether the lab can measure a cell at all, and on this machine: a reason in words, or none."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from qtrace.lab.guest.accel import kvm_usable
from qtrace.lab.guest.guest_image import NIC_MODULES
from qtrace.lab.link.link import BACK_ENDS
from qtrace.lab.link.vhost_user import PROGRAM as SWITCH
from qtrace.lab.workload.workload import workloads
from qtrace.model import PLAIN, VHOST_USER, Cell

__all__ = ["LARGEST_MTU", "why_not", "why_not_here"]

_ETHERNET = 1500
# The largest MTU that the driver of Linux and QEMU's model both take; every other NIC has Ethernet's own.
LARGEST_MTU = {
    **dict.fromkeys(
        ("virtio-net-pci", "virtio-net-pci-transitional", "virtio-net-pci-non-transitional"), 9000
    ),
    **dict.fromkeys(("e1000", "e1000-82544gc", "e1000-82545em", "e1000e", "igb", "vmxnet3"), 9000),
}
# Back ends whose far side has Ethernet's MTU, and why.
_NO_JUMBO = {
    "user": "libslirp's own end has an MTU of 1500",
    "vde": "a frame of vde_switch has at most 1500 bytes of payload",
    "l2tpv3": "QEMU's l2tpv3 has buffers of 2048 bytes",
    VHOST_USER: "the switch of the lab has buffers of 2048 bytes",
}


def why_not(cell: Cell) -> str:
    """Why nobody can measure this cell, on any machine; empty if it can be."""
    if cell.nic not in NIC_MODULES:
        return f"the lab's guest has no driver for the NIC {cell.nic} (it has: {', '.join(NIC_MODULES)})"
    if cell.netdev not in BACK_ENDS:
        return f"the lab has no netdev {cell.netdev} (it has: {', '.join(BACK_ENDS)})"
    virtio = cell.nic.startswith("virtio-")
    if cell.datapath == "vhost-net" and (cell.kind, virtio) != ("tap", True):
        return "vhost-net needs a virtio NIC on a tap"
    if (cell.netdev == VHOST_USER) != (cell.datapath == VHOST_USER):
        return "the netdev vhost-user has the datapath vhost-user, and no other has it"
    if cell.netdev == VHOST_USER and not virtio:
        return "vhost-user needs a virtio NIC"
    return _why_no_setting(cell, virtio)


def _why_no_setting(cell: Cell, virtio: bool) -> str:
    setting, workload = cell.setting, workloads().get(cell.workload)
    for axis in ("size", "rate", "streams"):
        if workload and getattr(setting, axis) != getattr(PLAIN, axis) and axis not in workload.axes:
            return f"the workload {cell.workload} has no {axis} that could be chosen"
    behind = cell.netdev.removeprefix("hubport.")
    if setting.mtu > _ETHERNET and (reason := _NO_JUMBO.get(behind)):
        return reason
    if setting.mtu > (largest := LARGEST_MTU.get(cell.nic, _ETHERNET)):
        return f"{cell.nic} takes an MTU of at most {largest}"
    if setting.queues > 1 and (cell.netdev, virtio) != ("tap", True):
        return "several queues need a virtio NIC on a tap"
    if setting.peer != "host" and behind in ("user", "stream.passt"):
        return f"{cell.netdev} has no device on the host that a bridge could take"
    return ""


def why_not_here(cell: Cell) -> str:
    """Why this machine cannot measure a cell that others can; empty if it can."""
    if cell.datapath == "vhost-net" and not os.access("/dev/vhost-net", os.R_OK | os.W_OK):
        return "this machine has no /dev/vhost-net (the lab machine has: --venue vm)"
    if cell.netdev not in ("user", "stream.passt") and not Path("/dev/net/tun").exists():
        return "this machine has no /dev/net/tun"
    behind = cell.netdev.removeprefix("hubport.")
    if cell.netdev == VHOST_USER and not kvm_usable()[0]:
        return "vhost-user ends QEMU without KVM (the lab machine has it: --venue vm)"
    program = {"vde": "vde_switch", "stream.passt": "passt", VHOST_USER: SWITCH}.get(behind)
    return f"{program} is not installed" if program and not shutil.which(program) else ""
