"""The files that a running process's descriptors were opened on: for a tap, its name."""

from __future__ import annotations

import contextlib
from pathlib import Path

from qtrace.proc import tap_names

__all__ = ["opened_by"]


def opened_by(pid: int) -> dict[int, str]:
    """Descriptor -> path, `/dev/net/tun NAME` for a tap; empty without permission to read them."""
    found: dict[int, str] = {}
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found[int(entry.name)] = str(entry.readlink())
    return found | {number: f"/dev/net/tun {name}" for number, name in tap_names(pid).items()}
