"""A command in a form that people paste, found in a public project's own tests, sources or threads."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["VIRTIO", "Form", "pair"]

VIRTIO = "virtio-net-pci"


@dataclass(frozen=True)
class Form:
    """`where` is the repository, and the thread or file. `pairs`: each NIC's type with its back end's, "-"
    for none; `refused`: what this text is rightly refused for, in words; `needs`: `newer` where only
    the later release takes it."""

    where: str
    text: str
    pairs: tuple[tuple[str, str], ...] = ()
    dialect: str | None = None
    refused: str = ""
    needs: str = ""


def pair(nic: str, netdev: str) -> tuple[tuple[str, str], ...]:
    return ((nic, netdev),)
