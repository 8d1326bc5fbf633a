"""Who reads a device's frames raw: packet sockets (AF_PACKET) in a process's own network namespace."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

__all__ = ["packet_readers"]

# What a socket takes, in hexadecimal: everything, IPv4, IPv6 (linux/if_ether.h, ETH_P_*). One that takes LLDP
# or 802.1X alone sees no checksum of TCP or UDP.
_PROTOCOLS = {"0003", "0800", "86dd"}
_LARGEST = 2**20
_NOBODY = "a program that cannot be seen from here"


def packet_readers(pid: int, devices: Collection[int]) -> Mapping[int, tuple[str, ...]] | None:
    """Index of a device -> the programs whose packet sockets are bound to it, as `name (PID)`, by name; the
    devices that have none are left out. None where the kernel does not say. `devices` are the indexes that
    are asked for."""
    try:
        table = Path(f"/proc/{pid}/net/packet").read_text()[:_LARGEST]
    except OSError:
        return None
    sockets: dict[str, int] = {}
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 9 and fields[3] in _PROTOCOLS and fields[4].isdecimal():
            sockets[fields[8]] = int(fields[4])
    wanted = {inode: device for inode, device in sockets.items() if device in {*devices}}
    if not wanted:
        return {}
    found: dict[int, set[str]] = {device: set() for device in wanted.values()}
    seen = set()
    for inode, holder in _holders(wanted):
        seen.add(inode)
        found[wanted[inode]].add(holder)
    for inode in wanted.keys() - seen:
        found[wanted[inode]].add(_NOBODY)
    return {device: tuple(sorted(holders)) for device, holders in found.items()}


def _holders(inodes: Collection[str]) -> Iterator[tuple[str, str]]:
    """(inode, who holds a descriptor of it)."""
    links = {f"socket:[{inode}]": inode for inode in inodes}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if inode := links.get(str(descriptor.readlink())):
                        name = (process / "comm").read_text(errors="replace").strip()
                        yield inode, f"{name} ({process.name})"
