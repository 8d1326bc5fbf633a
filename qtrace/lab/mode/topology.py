"""Builds the namespaces, devices, routes and NAT of a mode's file. Every command is recorded."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from qtrace.lab.guest.guest import QEMU_UID
from qtrace.lab.host.netns import Namespace
from qtrace.lab.host.owned import ip, own
from qtrace.lab.link.macvtap import character_device
from qtrace.lab.mode.mode import SPACES, Device, Mode, world
from qtrace.lab.mode.recorder import Recorder

__all__ = ["Topology", "mac_of", "open_topology"]

_QUIET = ("net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")


def mac_of(number: int) -> str:
    """The NIC address of guest `number`; the same in every lab, because no two labs share a segment."""
    return f"52:54:00:12:34:{number:02x}"


@dataclass(frozen=True, slots=True)
class Topology:
    """The namespaces of one lab. `macvtaps` has the character device of each macvtap, by its name."""

    spaces: Mapping[str, Namespace]
    macvtaps: Mapping[str, str]


@contextlib.contextmanager
def open_topology(
    lab: str, mode: Mode, guests: int, fill: Callable[[str, int], str], recorder: Recorder
) -> Iterator[Topology]:
    """The surroundings and the mode's own devices; removed when the block ends. `fill` puts a guest's number
    into a text.

    Raises LabError with the command that failed.
    """
    with contextlib.ExitStack() as stack:
        recorder.note("the world: the host, its LAN, a router, the internet")
        spaces = {name: stack.enter_context(_open_space(f"qt-{lab}-{name}", recorder)) for name in SPACES}
        devices, nats = world()
        for device in devices:
            _make(device, spaces, recorder, False)
        for nat in nats:
            _nat(spaces[nat.space], nat.out, recorder, False)
        macvtaps: dict[str, str] = {}
        if mode.devices or mode.nats or mode.forwards:
            recorder.note(f"the mode {mode.name}")
        for device in (copy for item in mode.devices for copy in _copies(item, guests, fill)):
            _make(device, spaces, recorder, True)
            if device.kind == "macvtap":
                macvtaps[device.name] = character_device(spaces[device.space], device.name)
        for nat in mode.nats:
            _nat(spaces[nat.space], nat.out, recorder, True)
        for forward in mode.forwards:
            rules = "".join(
                f"    {protocol} dport {forward.port} dnat to {forward.to}\n" for protocol in ("tcp", "udp")
            )
            chain = "type nat hook prerouting priority dstnat"
            table = f"table ip forward {{\n  chain in {{\n    {chain}\n{rules}  }}\n}}\n"
            _inside(spaces[forward.space], recorder, True, "nft", "-f", "-", stdin=table)
        yield Topology(spaces, macvtaps)


@contextlib.contextmanager
def _open_space(name: str, recorder: Recorder) -> Iterator[Namespace]:
    space = Namespace(name)
    with own("netns", name):
        try:
            recorder.run("ip", "netns", "add", name)
            _inside(space, recorder, False, "busybox", "sysctl", "-q", "-w", *_QUIET)
            recorder.run("ip", "-n", name, "link", "set", "lo", "up")
            yield space
        finally:
            if Path(space.path).exists():
                ip("netns", "delete", name)


def _copies(device: Device, guests: int, fill: Callable[[str, int], str]) -> list[Device]:
    """The device, or one for each guest if its name contains the guest's number."""
    if "{n}" not in device.name:
        return [device]
    numbers = range(1, guests + 1)
    return [
        replace(device, name=fill(device.name, number), address=fill(device.address, number))
        for number in numbers
    ]


def _make(device: Device, spaces: Mapping[str, Namespace], recorder: Recorder, own_step: bool) -> None:
    space = spaces[device.space]

    def ip_in(where: Namespace, *args: str) -> None:
        # The namespace is entered as root: the question is what a user without rights may do inside.
        if own_step:
            _inside(where, recorder, True, "ip", *args)
        else:
            recorder.run("ip", "-n", where.name, *args)

    if device.kind == "veth":
        other, _, peer = device.peer.partition(":")
        add = ("link", "add", device.name, "type", "veth", "peer", "name", peer, "netns", spaces[other].name)
        ip_in(space, *add)
        if device.peer_master:
            ip_in(spaces[other], "link", "set", peer, "master", device.peer_master)
        if device.peer_address:
            ip_in(spaces[other], "address", "add", device.peer_address, "dev", peer)
        ip_in(spaces[other], "link", "set", peer, "up")
    elif device.kind == "tap":
        ip_in(space, "tuntap", "add", "dev", device.name, "mode", "tap", "user", str(QEMU_UID))
    elif device.kind == "macvtap":
        number = int("".join(filter(str.isdigit, device.name)) or 1)
        kind = ("address", mac_of(number), "type", "macvtap", "mode", "bridge")
        ip_in(space, "link", "add", "link", device.over, "name", device.name, *kind)
    else:
        ip_in(space, "link", "add", device.name, "type", device.kind)
    if device.master:
        ip_in(space, "link", "set", device.name, "master", device.master)
    if device.address:
        ip_in(space, "address", "add", device.address, "dev", device.name)
    ip_in(space, "link", "set", device.name, "up")
    if device.gateway:
        ip_in(space, "route", "add", "default", "via", device.gateway)
    if device.takes:
        lower = next(item for item in world()[0] if (item.space, item.name) == (device.space, device.takes))
        ip_in(space, "link", "set", lower.name, "master", device.name)
        ip_in(space, "address", "delete", lower.address, "dev", lower.name)
        ip_in(space, "address", "add", lower.address, "dev", device.name)
        ip_in(space, "route", "replace", "default", "via", lower.gateway)


def _nat(space: Namespace, out: str, recorder: Recorder, own_step: bool) -> None:
    _inside(space, recorder, own_step, "busybox", "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
    chain = f'type nat hook postrouting priority srcnat\n    oifname "{out}" masquerade'
    table = f"table ip nat {{\n  chain out {{\n    {chain}\n  }}\n}}\n"
    _inside(space, recorder, own_step, "nft", "-f", "-", stdin=table)


def _inside(space: Namespace, recorder: Recorder, own_step: bool, *argv: str, stdin: str = "") -> None:
    enter = ("nsenter", f"--net={space.path}", "--")
    recorder.run(*argv, own=own_step, stdin=stdin, enter=enter)
