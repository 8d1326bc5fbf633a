"""A QEMU source tree as given by the user: checked, versioned, and which of its files are indexed."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from qtrace.errors import SourceError

__all__ = ["Tree", "open_tree"]

# What networking paths run through, besides all of net/ and hw/net/. A pattern that matches nothing
# is no error: folders move between releases (softmmu/ became system/).
_PATTERNS = (
    "net/**/*.c",
    "hw/net/**/*.c",
    "hw/virtio/virtio.c",
    "hw/virtio/virtio-bus.c",
    "hw/virtio/virtio-pci.c",
    "hw/virtio/virtio-net-pci.c",
    "hw/virtio/vhost.c",
    "hw/virtio/vhost-backend.c",
    "hw/virtio/vhost-user.c",
    "hw/virtio/vhost-vdpa.c",
    "hw/virtio/vhost-shadow-virtqueue.c",
    "hw/core/qdev.c",
    "hw/pci/pci.c",
    "hw/pci/msix.c",
    "hw/usb/dev-network.c",
    "util/aio-posix.c",
    "util/async.c",
    "util/qemu-timer.c",
    "util/main-loop.c",
    "util/iov.c",
    "util/event_notifier-posix.c",
    "io/channel.c",
    "io/channel-socket.c",
)
_VERSION = re.compile(r"\d+\.\d+\.\d+")


@dataclass(frozen=True)
class Tree:
    """`root` is the folder with VERSION, net/ and hw/ in it."""

    root: Path
    version: str

    @cached_property
    def files(self) -> tuple[str, ...]:
        """The C files to index, relative to `root`, in order."""
        found = {path for pattern in _PATTERNS for path in self.root.glob(pattern) if path.is_file()}
        return tuple(sorted(str(path.relative_to(self.root)) for path in found))

    @cached_property
    def key(self) -> str:
        """Changes when the tree does: version, place, and the names, sizes and times of its files."""
        digest = hashlib.sha256(f"{self.root}\0{self.version}".encode())
        for name in self.files:
            info = (self.root / name).stat()
            digest.update(f"{name}\0{info.st_size}\0{info.st_mtime_ns}\0".encode())
        return digest.hexdigest()[:16]


def open_tree(root: Path) -> Tree:
    """The QEMU tree at `root`. Raises SourceError if it is not one."""
    root = root.resolve()
    hint = "give the top folder of an unpacked QEMU release: qtrace index --source TREE"
    for needed in ("VERSION", "net/net.c", "hw/net", "qapi/qapi-schema.json", "scripts/qapi-gen.py"):
        if not (root / needed).exists():
            raise SourceError(f"{root} is not a QEMU source tree: it has no {needed}", hint=hint)
    version = (root / "VERSION").read_text(errors="replace").strip()
    if not _VERSION.fullmatch(version):
        raise SourceError(f"{root}/VERSION says {version[:40]!r}, which is no QEMU version", hint=hint)
    return Tree(root, version)
