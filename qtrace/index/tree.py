"""A QEMU source tree given by the user: its checks, its version, and the list of files to index."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from qtrace.errors import SourceError
from qtrace.index import meson
from qtrace.index.platforms import other_platform

__all__ = ["Tree", "open_tree"]

# All C files below these folders are read, so that a file that moves within them is still found.
_FOLDERS = ("net", "hw/net")
# Other files on packet paths: the file that defines each of QEMU's own interfaces, with its usual place. A
# file that is not there is searched for, because files move between releases (softmmu/ became system/).
_INTERFACES = {
    "virtio_notify": "hw/virtio/virtio.c",
    "virtio_bus_set_host_notifier": "hw/virtio/virtio-bus.c",
    "vhost_dev_start": "hw/virtio/vhost.c",
    "vhost_backend_update_device_iotlb": "hw/virtio/vhost-backend.c",
    "vhost_user_init": "hw/virtio/vhost-user.c",
    "vhost_vdpa_dma_map": "hw/virtio/vhost-vdpa.c",
    "vhost_svq_start": "hw/virtio/vhost-shadow-virtqueue.c",
    "qdev_realize": "hw/core/qdev.c",
    "qemu_set_irq": "hw/core/irq.c",
    "pci_set_irq": "hw/pci/pci.c",
    "msix_notify": "hw/pci/msix.c",
    "msi_notify": "hw/pci/msi.c",
    "aio_dispatch": "util/aio-posix.c",
    "aio_bh_poll": "util/async.c",
    "fdmon_epoll_setup": "util/fdmon-epoll.c",
    "fdmon_poll_wait": "util/fdmon-poll.c",
    "timer_mod": "util/qemu-timer.c",
    "qemu_set_fd_handler": "util/main-loop.c",
    "iov_from_buf_full": "util/iov.c",
    "event_notifier_set": "util/event_notifier-posix.c",
    "qio_channel_writev": "io/channel.c",
    "qio_channel_socket_new": "io/channel-socket.c",
}
_SEARCHED = ("hw", "io", "util", "system", "softmmu", "backends")
# Text that identifies a device's file as a NIC, a holder of a NIC, a virtio transport, or a virtio doorbell.
_DEVICES = "hw"
_WORDS = (b"NetClientInfo", b"VirtIONet", b"VIRTIO_BUS_CLASS", b"virtio_queue_notify")
_MARKS = re.compile(rb"\bNetClientInfo\b|\bVirtIONet \w|\bVIRTIO_BUS_CLASS\(|\bvirtio_queue_notify\(")
_VERSION = re.compile(r"\d+\.\d+\.\d+")


@dataclass(frozen=True)
class Tree:
    """`root` is the folder with VERSION, net/ and hw/ in it; `more` are patterns of further C files."""

    root: Path
    version: str
    more: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The tree's name in a line of progress."""
        return f"QEMU {self.version}"

    @cached_property
    def files(self) -> tuple[str, ...]:
        """The C files to index, relative to `root`, in order."""
        patterns = (*(f"{folder}/**/*.c" for folder in _FOLDERS), *self.more)
        found = {path for pattern in patterns for path in self.root.glob(pattern) if path.is_file()}
        for path in self.root.glob(f"{_DEVICES}/**/*.c"):
            if path not in found and path.is_file():
                text = path.read_bytes()
                if any(word in text for word in _WORDS) and _MARKS.search(text):
                    found.add(path)
        names = {str(path.relative_to(self.root)) for path in found}
        return tuple(sorted(names | self._interfaces()))

    def _interfaces(self) -> set[str]:
        """The files that define QEMU's own interfaces, without stubs and files for other systems."""
        found = {name: file for name, file in _INTERFACES.items() if _defines(self.root / file, name)}
        moved = _INTERFACES.keys() - found.keys()
        folders = _SEARCHED if moved else ()
        for path in sorted(path for folder in folders for path in self.root.glob(f"{folder}/**/*.c")):
            file = str(path.relative_to(self.root))
            if not other_platform(file):
                found |= dict.fromkeys((name for name in moved if _defines(path, name)), file)
        return set(found.values())

    def once_a_target(self) -> dict[str, str]:
        """The files that meson.build compiles once for each target: see `qtrace.index.meson`."""
        found: dict[str, str] = {}
        for folder in self._folders():
            found |= meson.once_a_target(self.root, folder)
        return found

    def boards(self, target: str) -> str:
        """The configuration that names the boards of a target's emulator; empty if there is none."""
        path = self.root / self.boards_file(target)
        return path.read_text(errors="replace") if path.is_file() else ""

    @staticmethod
    def boards_file(target: str) -> str:
        """The name of that file."""
        return f"configs/devices/{target}-softmmu/default.mak"

    def kconfig(self) -> dict[str, str]:
        """File -> the configuration symbols of its condition in meson.build."""
        found: dict[str, str] = {}
        for folder in self._folders():
            found |= meson.conditions(self.root, folder)
        return found

    def meson_files(self) -> list[str]:
        """The meson.build files on which `once_a_target` and `kconfig` depend."""
        names = [f"{folder}/meson.build" for folder in self._folders()]
        return [name for name in names if (self.root / name).is_file()]

    def _folders(self) -> list[str]:
        return sorted({str(Path(name).parent) for name in self.files})


def _defines(file: Path, name: str) -> bool:
    """Whether a C file begins a line with the beginning of a function of that name."""
    try:
        text = file.read_bytes()
    except OSError:  # missing in this release, or a dangling link
        return False
    word = name.encode()
    return word in text and bool(re.search(rb"^(?:\w[\w *]*[ *])?%b\(" % word, text, re.MULTILINE))


def open_tree(root: Path, more: Sequence[str] = ()) -> Tree:
    """The QEMU tree at `root`; `more` are patterns of further C files to index.

    Raises SourceError if it is not a QEMU tree.
    """
    root = root.resolve()
    hint = "give the top folder of an unpacked QEMU release: qtrace index --source TREE"
    for needed in ("VERSION", "net/net.c", "hw/net", "qapi/qapi-schema.json", "scripts/qapi-gen.py"):
        if not (root / needed).exists():
            raise SourceError(f"{root} is not a QEMU source tree: it has no {needed}", hint=hint)
    version = (root / "VERSION").read_text(errors="replace").strip()
    if not _VERSION.fullmatch(version):
        raise SourceError(f"{root}/VERSION says {version[:40]!r}, which is no QEMU version", hint=hint)
    for folder in ("net", "hw/net"):
        gone = [name for name in meson.named(root, folder) if not (root / folder / name).exists()]
        if gone:
            raise SourceError(
                f"{root} is not complete: {folder}/meson.build names {len(gone)} files that are not there: "
                f"{', '.join(gone[:4])}" + " …" * (len(gone) > 4),
                hint="unpack the release again; " + hint,
            )
    return Tree(root, version, tuple(more))
