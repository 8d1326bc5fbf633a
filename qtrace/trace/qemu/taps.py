"""The taps that a process holds, as the kernel describes them in the process's own network namespace."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtrace.proc import macvtap_descriptors, tap_names
from qtrace.trace.qemu.packet_sockets import packet_readers

__all__ = ["TapState", "read_taps"]

_PATIENCE = 60.0  # seconds for `ip`, which needs some hundredths
_LARGEST = 8 * 2**20
_NAMELESS = "/proc does not name its interface"


@dataclass(frozen=True, slots=True)
class TapState:
    """A tap and its descriptors in the process; None where the kernel did not say, `unread` says why.

    `header`: a struct virtio_net_hdr stands before each frame (IFF_VNET_HDR), `queues`: it may have several
    (IFF_MULTI_QUEUE); `up` as the administrator has it, `carrier` as the link has it; `queue_length` in
    frames, where the kernel keeps those that QEMU has not read; `master` is the bridge that it is a port of,
    `addressed` whether it has an address of its own; `cut_at` the largest frame in bytes that the kernel
    hands it; `readers` the programs that read its frames, or its bridge's, from packet sockets.
    """

    name: str
    descriptors: tuple[int, ...]
    header: bool | None = None
    queues: bool | None = None
    up: bool | None = None
    carrier: bool | None = None
    mtu: int | None = None
    queue_length: int | None = None
    master: str | None = None
    addressed: bool | None = None
    cut_at: int | None = None
    readers: tuple[str, ...] | None = None
    unread: str = ""


def read_taps(pid: int) -> tuple[TapState, ...]:
    """Of each tap whose descriptor the process holds, by name; nothing in the namespace is changed."""
    held: dict[str, list[int]] = {}
    for descriptor, name in tap_names(pid).items():
        held.setdefault(name, []).append(descriptor)
    others = tuple(
        TapState(
            "macvtap", (descriptor,), unread=f"how the macvtap of descriptor {descriptor} stood: {_NAMELESS}"
        )
        for descriptor in macvtap_descriptors(pid)
    )
    if not held:
        return others
    try:
        devices = _devices(pid)
    except (OSError, ValueError, subprocess.SubprocessError) as exc:
        reason = f"ip could not be asked in its network namespace: {exc}"
        unread = (TapState(name, tuple(sorted(fds)), unread=reason) for name, fds in sorted(held.items()))
        return (*unread, *others)
    places = {name: _places(devices, name) for name in held}
    readers = packet_readers(pid, {index for indexes in places.values() for index in indexes})
    found = []
    for name, fds in sorted(held.items()):
        who = None if readers is None else _each_once(readers.get(index, ()) for index in places[name])
        found.append(_tap(name, tuple(sorted(fds)), devices.get(name), who))
    return (*found, *others)


def _each_once(names: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for group in names for name in group))


def _places(devices: Mapping[str, Mapping[str, Any]], name: str) -> list[int]:
    """The indexes of a tap and of its bridge, where there are such."""
    row = devices.get(name, {})
    rows = (row, devices.get(row.get("master", ""), {}))
    return [int(one["ifindex"]) for one in rows if one.get("ifindex")]


def _devices(pid: int) -> dict[str, Mapping[str, Any]]:
    """Name -> what `ip` says of it. Raises OSError, ValueError, SubprocessError."""
    words = ["ip", "-details", "-json", "address"]
    if not _is_ours(pid):
        words = ["nsenter", f"--net=/proc/{pid}/ns/net", "--", *words]
    said = subprocess.run(
        words, capture_output=True, stdin=subprocess.DEVNULL, timeout=_PATIENCE, check=True
    ).stdout
    rows = json.loads(said[:_LARGEST])
    return {str(row["ifname"]): row for row in rows if row.get("ifname")}


def _is_ours(pid: int) -> bool:
    return os.path.samestat(Path(f"/proc/{pid}/ns/net").stat(), Path("/proc/self/ns/net").stat())


def _tap(
    name: str, descriptors: tuple[int, ...], row: Mapping[str, Any] | None, readers: tuple[str, ...] | None
) -> TapState:
    if row is None:
        return TapState(name, descriptors, unread="its device is in another network namespace")
    data = row.get("linkinfo", {}).get("info_data", {})
    flags = row.get("flags", [])
    addresses = [one for one in row.get("addr_info", []) if one.get("scope") != "link"]
    return TapState(
        name,
        descriptors,
        header=data.get("vnet_hdr"),
        queues=data.get("multi_queue"),
        up="UP" in flags,
        carrier="LOWER_UP" in flags,
        mtu=row.get("mtu"),
        queue_length=row.get("txqlen"),
        master=row.get("master", ""),
        addressed=bool(addresses),
        cut_at=_cut_at(row),
        readers=readers,
    )


def _cut_at(row: Mapping[str, Any]) -> int | None:
    """By gso_max_size, and by gso_max_segs times what the MTU leaves a segment."""
    sizes = [row[name] for name in ("gso_max_size",) if row.get(name)]
    if row.get("gso_max_segs") and row.get("mtu"):
        sizes.append(row["gso_max_segs"] * row["mtu"])
    return min(sizes, default=None)
