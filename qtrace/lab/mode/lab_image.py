"""The root of a lab's guest: the minimum that boots quickly, answers requests and has a login."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from qtrace.errors import LabError
from qtrace.lab.guest.guest_image import (
    NIC_MODULES,
    busybox_files,
    module_files,
    shared_libraries,
    store_image,
    which,
)
from qtrace.lab.guest.kernel import Kernel
from qtrace.progress import SILENT, Progress

__all__ = ["ensure_lab_image", "require_nic"]

_HERE = resources.files("qtrace.lab.mode")


def require_nic(nic: str) -> None:
    """Raise LabError for a NIC without a driver in the lab's guests."""
    if nic not in NIC_MODULES:
        known = ", ".join(NIC_MODULES)
        raise LabError(f"the lab's guests have no driver for the NIC {nic!r}", hint=f"they have: {known}")


def ensure_lab_image(
    kernel: Kernel, nic: str, progress: Progress = SILENT, programs: Sequence[str] = ()
) -> Path:
    """The initramfs for a lab's guest with this NIC: busybox, perl, `programs`, and the modules of that
    NIC alone.

    Raises LabError for a NIC that Debian's kernel does not support.
    """
    require_nic(nic)
    files = busybox_files(_HERE / "lab_init.sh")
    files |= module_files(kernel, ["virtio_pci", "virtio_console", *NIC_MODULES[nic]])
    for name, script in {"udhcpc": "udhcpc.sh", "responder.pl": "responder.pl"}.items():
        files[name] = ((_HERE / script).read_bytes(), 0o755)
    if programs:  # tcpdump asks for the user that it is to run as
        files["etc/passwd"] = (b"root:x:0:0:root:/:/bin/sh\n", 0o644)
    for name in ("perl", *programs):
        path = which(name)
        files[f"bin/{name}"] = (path, 0o755)
        for library in shared_libraries(path):
            files[str(library).lstrip("/")] = (library, 0o755)
    return store_image(f"lab-{nic}", files, progress)
