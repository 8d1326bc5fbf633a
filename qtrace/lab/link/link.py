"""The link of the guest's NIC: QEMU's netdev and its end on the host, in the namespace."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

from qtrace.errors import MissingPrerequisite
from qtrace.lab.guest.guest import MEMORY, QEMU_UID
from qtrace.lab.host.helper import Helper
from qtrace.lab.host.netns import Namespace, open_namespace
from qtrace.lab.link.macvtap import BENEATH, open_macvtap
from qtrace.lab.link.passt import open_passt
from qtrace.lab.link.relay import open_relay
from qtrace.lab.link.sockets import FORMS, WIRED
from qtrace.lab.link.tap import open_queues, open_tap, set_up
from qtrace.lab.link.vde import open_vde
from qtrace.lab.link.vhost_user import open_vhost_user
from qtrace.model import PLAIN, Setting

__all__ = ["BACK_ENDS", "MAC", "NETDEVS", "Link", "open_link"]

NETDEVS = ("user", "tap", "vde", *WIRED)
_PLAIN = (
    *NETDEVS,
    *(f"{netdev}.{form}" for netdev, forms in FORMS.items() for form in forms[1:]),
    "stream.passt",
    "tap.macvtap",
)
# The back ends by the names that a plan gives them: a netdev, a netdev in one of its forms, each behind a
# hub. vhost-user has no other form, and a hub cannot hand queues over.
BACK_ENDS = (*_PLAIN, "vhost-user", *(f"hubport.{name}" for name in _PLAIN))
MAC = "52:54:00:12:34:56"
_OTHER_MAC = "52:54:00:12:34:57"  # of a second guest
_SLIRP_MAC = "52:55:0a:00:02:02"  # libslirp's address for 10.0.2.2
_PORT_TO_GUEST = 9009  # hostfwd of the user netdev: the namespace's loopback -> the guest's port 9
_HOST, _GUEST = "192.168.76.1", "192.168.76.2"
_TAP = "tap0"  # the same name in each namespace
_BRIDGE, _PORT, _FAR = "br0", "port0", "eth0"  # of a link to a neighbour


@dataclass(frozen=True, slots=True)
class Link:
    """`option` is QEMU's argument after `-netdev`, `fds` the descriptors that it inherits, `more` further
    arguments.

    `host_addr` is the host's address for the guest; `sink` is the address in the namespace to which datagrams
    for the guest's UDP port 9 are sent; `tap` the device on the host that all frames pass, except for `user`
    and passt; `helper` the program that carries them between the tap and QEMU; `far` the namespace in which
    `host_addr` is, if it is a neighbour's behind the host's bridge, and `other` the link there of a second
    guest, whose `mac` it has. A helper that `polls` takes a processor also while no frame passes; `beneath`
    are devices between `tap` and QEMU.
    """

    option: str
    host_addr: str
    guest_addr: str
    host_mac: str
    sink: tuple[str, int]
    tap: str | None = None
    fds: tuple[int, ...] = ()
    helper: Helper | None = None
    more: tuple[str, ...] = ()
    far: Namespace | None = None
    other: Link | None = None
    mac: str = MAC
    polls: bool = False
    beneath: tuple[str, ...] = ()

    def devices(self, space: Namespace) -> list[tuple[Namespace, str]]:
        """The devices of the link on the host, each in its namespace; QEMU's is `space`."""
        near = [(space, name) for name in (self.tap, *self.beneath) if name]
        if not self.far:
            return near
        beyond = [(self.far, name) for name in (_TAP, *self.beneath, _BRIDGE)] if self.other else []
        return [*near, (space, _BRIDGE), (space, _PORT), (self.far, _FAR), *beyond]

    def behind_hub(self) -> Link:
        """The same link with QEMU's hub between it and the NIC (net/hub.c)."""
        ports = ("hubport,id=net0,hubid=0", "hubport,id=port1,hubid=0,netdev=behind")
        option = self.option.replace("id=net0", "id=behind", 1)
        more = ("-netdev", option, "-netdev", ports[1])
        other = self.other.behind_hub() if self.other else None
        return replace(self, option=ports[0], more=(*self.more, *more), other=other)


@contextlib.contextmanager
def open_link(
    space: Namespace, netdev: str, datapath: str = "qemu", form: str = "", setting: Setting = PLAIN
) -> Iterator[Link]:
    """The link of `netdev` in `space`, removed when the block ends.

    `netdev` is one of `NETDEVS`; `form` one of `sockets.FORMS`, `passt` or `macvtap`, or empty for the
    netdev's plain form. Of `setting`, it makes `queues` and `peer`. Raises LabError if the link cannot be
    made, MissingPrerequisite for anything that the machine lacks.
    """
    if netdev == "user":
        option = f"user,id=net0,ipv6=off,hostfwd=udp:127.0.0.1:{_PORT_TO_GUEST}-:9"
        yield Link(option, "10.0.2.2", "10.0.2.15", _SLIRP_MAC, ("127.0.0.1", _PORT_TO_GUEST))
        return
    with contextlib.ExitStack() as stack:
        if (netdev, form) == ("stream", "passt"):
            started = open_passt(space, QEMU_UID, _HOST, _GUEST, f"{_PORT_TO_GUEST}:9")
            path, mac, helper = stack.enter_context(started)
            option = f"stream,id=net0,server=off,addr.type=unix,addr.path={path}"
            yield Link(option, _HOST, _GUEST, mac, ("127.0.0.1", _PORT_TO_GUEST), helper=helper)
            return
        yield _link_with_tap(space, netdev, datapath, form, setting, stack)


def _link_with_tap(
    space: Namespace, netdev: str, datapath: str, form: str, setting: Setting, stack: contextlib.ExitStack
) -> Link:
    kind = (netdev, datapath, form, setting.queues)
    back_end = _open_back_end(space, *kind, stack)
    if setting.peer == "host":
        set_up(space, _TAP, f"{_HOST}/24", _GUEST, MAC)
        return back_end.link(_HOST, _GUEST, _mac_of(space, _TAP))
    far = stack.enter_context(open_namespace())
    space.ip("link", "add", _PORT, "type", "veth", "peer", "name", _FAR, "netns", far.name)
    _bridge(space, _TAP, _PORT)
    other = None
    if setting.peer == "neighbour":
        set_up(far, _FAR, f"{_HOST}/24", _GUEST, MAC)
        mac = _mac_of(far, _FAR)
    else:
        mac = _OTHER_MAC
        there = _open_back_end(far, *kind, stack)
        _bridge(far, _TAP, _FAR)
        other = replace(there.link(_GUEST, _HOST, MAC), mac=mac)
    return replace(back_end.link(_HOST, _GUEST, mac), far=far, other=other)


@dataclass(frozen=True, slots=True)
class _BackEnd:
    """QEMU's option, the descriptors that it inherits, the program that carries frames to the tap, and QEMU's
    further arguments."""

    option: str
    fds: tuple[int, ...] = ()
    carrier: Helper | None = None
    more: tuple[str, ...] = ()
    polls: bool = False
    beneath: tuple[str, ...] = ()

    def link(self, host: str, guest: str, host_mac: str) -> Link:
        """The link of a guest with the address `guest`."""
        end = (self.option, host, guest, host_mac, (guest, 9), _TAP)
        return Link(*end, self.fds, self.carrier, self.more, polls=self.polls, beneath=self.beneath)


def _open_back_end(
    space: Namespace, netdev: str, datapath: str, form: str, queues: int, stack: contextlib.ExitStack
) -> _BackEnd:
    fds: tuple[int, ...] = ()
    carrier: Helper | None = None
    if netdev == "vde":
        folder, carrier = stack.enter_context(open_vde(space, _TAP, QEMU_UID))
        option = f"vde,id=net0,sock={folder}"
    elif netdev == "vhost-user":
        path, carrier = stack.enter_context(open_vhost_user(space, _TAP, QEMU_UID))
        space.ip("link", "set", _TAP, "up")
        memory = f"memory-backend-memfd,id=ram,size={MEMORY}M,share=on"
        switch = f"socket,id=switch,path={path}"
        more = ("-object", memory, "-machine", "memory-backend=ram", "-chardev", switch)
        return _BackEnd("vhost-user,id=net0,chardev=switch", (), carrier, more, polls=True)
    elif queues > 1:
        fds = tuple(stack.enter_context(open_queues(space, _TAP, queues)))
        option = f"tap,id=net0,fds={':'.join(map(str, fds))}"
    elif form == "macvtap":
        fds = (stack.enter_context(open_macvtap(space, _TAP)),)
        option = f"tap,id=net0,fd={fds[0]}"
    else:
        tap = stack.enter_context(open_tap(space, _TAP, header=netdev == "tap"))
        fds = (tap.fd,)
        option = f"tap,id=net0,fd={tap.fd}"
    space.ip("link", "set", _TAP, "up")
    if netdev in WIRED:
        wire, carrier = stack.enter_context(open_relay(space, tap, netdev, form))
        fds, option = wire.fds, wire.option
    if datapath == "vhost-net":
        vhost = tuple(stack.enter_context(_vhost_fd()) for _ in fds)
        name = "vhostfds" if len(vhost) > 1 else "vhostfd"
        option += f",vhost=on,{name}={':'.join(map(str, vhost))}"
        fds += vhost
    return _BackEnd(option, fds, carrier, beneath=BENEATH if form == "macvtap" else ())


def _bridge(space: Namespace, *devices: str) -> None:
    space.ip("link", "add", _BRIDGE, "type", "bridge")
    for device in devices:
        space.ip("link", "set", device, "master", _BRIDGE, "up")
    space.ip("link", "set", _BRIDGE, "up")


def _mac_of(space: Namespace, device: str) -> str:
    return str(json.loads(space.ip("-json", "link", "show", "dev", device))[0]["address"])


@contextlib.contextmanager
def _vhost_fd() -> Iterator[int]:
    """/dev/vhost-net, opened as root and passed to the unprivileged QEMU."""
    try:
        descriptor = os.open("/dev/vhost-net", os.O_RDWR)
    except OSError as exc:
        raise MissingPrerequisite(
            f"/dev/vhost-net: {exc.strerror}", hint="run: modprobe vhost_net, or use --venue vm"
        ) from exc
    try:
        yield descriptor
    finally:
        os.close(descriptor)
