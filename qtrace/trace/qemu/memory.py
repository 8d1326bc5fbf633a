"""Another process's memory, read through /proc."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from qtrace.errors import TargetError

__all__ = ["Memory"]

_LONGEST = 256  # bytes of a name


class Memory:
    """Another process's memory, read-only. Raises TargetError if it cannot be read."""

    def __init__(self, pid: int) -> None:
        self._path = Path(f"/proc/{pid}/mem")
        try:
            self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except PermissionError as exc:
            raise TargetError(
                f"the memory of process {pid} may not be read", hint="run it as root, or with CAP_SYS_PTRACE"
            ) from exc
        except OSError as exc:
            raise TargetError(f"there is no process {pid}", hint="see 'pgrep -a qemu'") from exc

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._file)

    def read(self, address: int, size: int) -> bytes:
        """Exactly `size` bytes."""
        try:
            data = os.pread(self._file, size, address)
        except (OSError, OverflowError, ValueError) as exc:
            raise TargetError(f"{self._path}: nothing can be read at {address:#x}") from exc
        if len(data) != size:
            raise TargetError(f"{self._path}: {size} bytes at {address:#x} are not all readable")
        return data

    def word(self, address: int) -> int:
        """Eight bytes as a number, such as a pointer."""
        return int(struct.unpack("<Q", self.read(address, 8))[0])

    def number(self, address: int, size: int = 4) -> int:
        """An unsigned number of `size` bytes."""
        return int.from_bytes(self.read(address, size), "little")

    def text(self, address: int) -> str:
        """A zero-terminated string; empty for NULL. The string may end shortly before an unmapped page."""
        if not address:
            return ""
        size = min(_LONGEST, 4096 - address % 4096)
        data = self.read(address, size)
        if b"\0" not in data and size < _LONGEST:
            data += self.read(address + size, _LONGEST - size)
        return data.partition(b"\0")[0].decode(errors="replace")
