"""A QEMU source tree as given by the user: checked, versioned, and which of its files are indexed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from qtrace.errors import SourceError
from qtrace.index import meson

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
    "util/fdmon-epoll.c",
    "util/fdmon-poll.c",
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
    """`root` is the folder with VERSION, net/ and hw/ in it; `more` are patterns of further C files."""

    root: Path
    version: str
    more: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What it is called in a line of progress."""
        return f"QEMU {self.version}"

    @cached_property
    def files(self) -> tuple[str, ...]:
        """The C files to index, relative to `root`, in order."""
        patterns = (*_PATTERNS, *self.more)
        found = {path for pattern in patterns for path in self.root.glob(pattern) if path.is_file()}
        return tuple(sorted(str(path.relative_to(self.root)) for path in found))

    def once_a_target(self) -> set[str]:
        """The files that meson.build compiles once for each target: see `qtrace.index.meson`."""
        return {file for folder in self._folders() for file in meson.once_a_target(self.root, folder)}

    def kconfig(self) -> dict[str, str]:
        """File -> the configuration symbols that it is built with, as meson.build has them."""
        found: dict[str, str] = {}
        for folder in self._folders():
            found |= meson.conditions(self.root, folder)
        return found

    def meson_files(self) -> list[str]:
        """The meson.build files that the two above are read from."""
        names = [f"{folder}/meson.build" for folder in self._folders()]
        return [name for name in names if (self.root / name).is_file()]

    def _folders(self) -> list[str]:
        return sorted({str(Path(name).parent) for name in self.files})


def open_tree(root: Path, more: Sequence[str] = ()) -> Tree:
    """The QEMU tree at `root`; `more` are patterns of C files that are indexed besides.

    Raises SourceError if it is not one.
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
