"""One command line of the corpus, and what is to be expected of it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Case"]


@dataclass(frozen=True)
class Case:
    """`refused` is (what QEMU says, what explain says), each as a part of the message, and `taken` the
    release (earlier or newer) that takes the line all the same. `needs` names what QEMU wants to find:
    `tun` a device node, `bridge` a bridge and its permission, `vhost` /dev/vhost-net. `only_here` is the
    reason why QEMU of this host cannot be asked.
    """

    line: str
    refused: tuple[str, str] | None = None
    needs: str = ""
    only_here: str = ""
    taken: str = ""
