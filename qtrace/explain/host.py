"""The host's interfaces and device nodes that a line names. Only sysfs is opened."""

from __future__ import annotations

import contextlib
from pathlib import Path

__all__ = ["Host"]

_UP = 0x1  # IFF_UP


class Host:
    """The host under `root`."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def exists(self, path: str) -> bool:
        """Whether a file with that absolute path exists."""
        with contextlib.suppress(OSError, ValueError):
            return (self._root / path.lstrip("/")).exists()
        return False

    def has_interface(self, name: str) -> bool:
        """Whether a network interface of that name exists."""
        return self._interface(name).exists()

    def mtu(self, name: str) -> int | None:
        """An interface's MTU in bytes, None without such an interface."""
        return self._number(name, "mtu", 10)

    def is_up(self, name: str) -> bool | None:
        """Whether an interface is up, None without such an interface."""
        flags = self._number(name, "flags", 16)
        return None if flags is None else bool(flags & _UP)

    def _interface(self, name: str) -> Path:
        kept = name.replace("/", "_").replace("\0", "_")[:64] or "_"
        return self._root / "sys/class/net" / ("_" if kept in (".", "..") else kept)

    def _number(self, name: str, file: str, base: int) -> int | None:
        with contextlib.suppress(OSError, ValueError):
            return int((self._interface(name) / file).read_text(), base)
        return None
