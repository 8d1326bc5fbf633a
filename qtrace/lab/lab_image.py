"""The root of a lab's guest: as little as boots quickly, answers and can be logged in on."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from qtrace.errors import LabError
from qtrace.lab.image import busybox_files, module_files, shared_libraries, store_image, which
from qtrace.lab.kernel import Kernel
from qtrace.progress import SILENT, Progress

__all__ = ["NIC_MODULES", "ensure_lab_image", "require_nic"]

# Not the i82551: its driver wants firmware that Debian's main archive does not have.
_E100 = ("50", "57a", "57b", "57c", "58a", "58b", "59a", "59b", "59c", "59er", "62")
# Every NIC of QEMU on a PC that Debian's kernel drives, with its driver.
NIC_MODULES: dict[str, list[str]] = {
    "virtio-net-pci": ["virtio_net"],
    "virtio-net-pci-transitional": ["virtio_net"],
    "virtio-net-pci-non-transitional": ["virtio_net"],
    "e1000": ["e1000"],
    "e1000-82544gc": ["e1000"],
    "e1000-82545em": ["e1000"],
    "e1000e": ["e1000e"],
    "igb": ["igb"],
    "rtl8139": ["8139cp", "8139too"],
    "pcnet": ["pcnet32"],
    "vmxnet3": ["vmxnet3"],
    "ne2k_pci": ["ne2k_pci"],
    "tulip": ["tulip"],
    **{f"i825{number}": ["e100"] for number in _E100},
    "i82801": ["e100"],
    "usb-net": ["xhci_pci", "cdc_ether", "rndis_host"],
}


def require_nic(nic: str) -> None:
    """Raise LabError for a NIC that the lab's guests have no driver for."""
    if nic not in NIC_MODULES:
        known = ", ".join(NIC_MODULES)
        raise LabError(f"the lab's guests have no driver for the NIC {nic!r}", hint=f"they have: {known}")


def ensure_lab_image(kernel: Kernel, nic: str, progress: Progress = SILENT) -> Path:
    """The initramfs for a lab's guest with this NIC: busybox, perl, and the modules of that NIC alone.

    Raises LabError for a NIC that Debian's kernel does not drive.
    """
    require_nic(nic)
    files = busybox_files("lab_init.sh")
    files |= module_files(kernel, ["virtio_pci", "virtio_console", *NIC_MODULES[nic]])
    for name, script in {"udhcpc": "udhcpc.sh", "probe.pl": "probe.pl"}.items():
        files[name] = (resources.files("qtrace.lab").joinpath(script).read_bytes(), 0o755)
    perl = which("perl", "perl-base")
    files["bin/perl"] = (perl, 0o755)
    for library in shared_libraries(perl):
        files[str(library).lstrip("/")] = (library, 0o755)
    return store_image(f"lab-{nic}", files, progress)
