"""The lab machine's initramfs: busybox and the modules for the host's file system.

It is a few MB and is made for each boot, in memory only: it contains the names of the shared folders, and
making it takes milliseconds.
"""

from __future__ import annotations

import shutil
import stat
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from qtrace.distribution.identity import distribution
from qtrace.errors import LabError, MissingPrerequisite
from qtrace.lab.guest.guest_image import Files, cpio, module_files
from qtrace.lab.guest.kernel import Kernel

__all__ = ["AGENT", "machine_image", "share_tag"]

AGENT = Path(__file__).with_name("machine_agent.py").resolve()
_APPLETS = ("sh", "mount", "umount", "mkdir", "insmod", "cat", "switch_root", "poweroff", "env")
_MODULES = ["virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay"]


def share_tag(number: int) -> str:
    """The 9p mount tag of the `number`th shared folder."""
    return f"share{number}"


def machine_image(kernel: Kernel, share: Sequence[Path]) -> bytes:
    """The archive, uncompressed. Raises LabError for a path that the init script cannot read."""
    busybox = shutil.which("busybox")
    if not busybox:
        raise MissingPrerequisite("busybox is missing", hint=distribution().hint("busybox"))
    for path in (AGENT, kernel.modules, *share):
        if any(letter.isspace() or letter == "\\" for letter in str(path)):
            raise LabError(f"the lab machine cannot use a path with white space in it: {str(path)!r}")
    command = f"/usr/bin/python3 -IS {AGENT} {kernel.modules}\n"
    shares = "".join(f"{share_tag(number)} {path}\n" for number, path in enumerate(share))
    files: Files = {
        "init": (resources.files("qtrace.lab.machine").joinpath("machine_init.sh").read_bytes(), 0o755),
        "bin/busybox": (Path(busybox), 0o755),
        "command": (command.encode(), 0o644),
        "shares": (shares.encode(), 0o644),
    }
    for applet in _APPLETS:
        files[f"bin/{applet}"] = (b"busybox", stat.S_IFLNK | 0o777)
    return cpio(files | module_files(kernel, _MODULES))
