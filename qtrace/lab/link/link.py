"""The link of the guest's NIC: QEMU's netdev and its end on the host, in the namespace."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

from qtrace.errors import MissingPrerequisite
from qtrace.lab.guest.guest import QEMU_UID
from qtrace.lab.host.helper import Helper
from qtrace.lab.host.netns import Namespace
from qtrace.lab.link.relay import open_relay
from qtrace.lab.link.sockets import WIRED
from qtrace.lab.link.tap import open_tap, set_up
from qtrace.lab.link.vde import open_vde

__all__ = ["MAC", "NETDEVS", "Link", "open_link"]

NETDEVS = ("user", "tap", "vde", *WIRED)
MAC = "52:54:00:12:34:56"
_SLIRP_MAC = "52:55:0a:00:02:02"  # libslirp's address for 10.0.2.2
_PORT_TO_GUEST = 9009  # hostfwd of the user netdev: the namespace's loopback -> the guest's port 9
_HOST, _GUEST = "192.168.76.1", "192.168.76.2"
_TAP = "tap0"  # the same name in each namespace


@dataclass(frozen=True, slots=True)
class Link:
    """`option` is QEMU's argument after `-netdev`, `fds` the descriptors that it inherits, `more` further
    arguments.

    `host_addr` is the host's address for the guest; `sink` is the address in the namespace to which datagrams
    for the guest's UDP port 9 are sent; `tap` the device on the host that all frames pass, except for `user`;
    `helper` the program that carries them between the tap and QEMU.
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

    def behind_hub(self) -> Link:
        """The same link with QEMU's hub between it and the NIC (net/hub.c)."""
        ports = ("hubport,id=net0,hubid=0", "hubport,id=port1,hubid=0,netdev=behind")
        option = self.option.replace("id=net0", "id=behind", 1)
        more = ("-netdev", option, "-netdev", ports[1])
        return replace(self, option=ports[0], more=(*self.more, *more))


@contextlib.contextmanager
def open_link(space: Namespace, netdev: str, datapath: str = "qemu", form: str = "") -> Iterator[Link]:
    """The link of `netdev` in `space`, removed when the block ends.

    `netdev` is one of `NETDEVS`; `form` one of `sockets.FORMS`, or empty for the netdev's plain form. Raises
    LabError if the link cannot be made, MissingPrerequisite for anything that the machine lacks.
    """
    if netdev == "user":
        option = f"user,id=net0,ipv6=off,hostfwd=udp:127.0.0.1:{_PORT_TO_GUEST}-:9"
        yield Link(option, "10.0.2.2", "10.0.2.15", _SLIRP_MAC, ("127.0.0.1", _PORT_TO_GUEST))
        return
    with contextlib.ExitStack() as stack:
        fds: tuple[int, ...] = ()
        helper: Helper | None = None
        if netdev == "vde":
            folder, helper = stack.enter_context(open_vde(space, _TAP, QEMU_UID))
            option = f"vde,id=net0,sock={folder}"
        else:
            tap = stack.enter_context(open_tap(space, _TAP, header=netdev == "tap"))
            fds = (tap.fd,)
            option = f"tap,id=net0,fd={tap.fd}"
        set_up(space, _TAP, f"{_HOST}/24", _GUEST, MAC)
        if netdev in WIRED:
            wire, helper = stack.enter_context(open_relay(space, tap, netdev, form))
            fds, option = wire.fds, wire.option
        if datapath == "vhost-net":
            fds += (stack.enter_context(_vhost_fd()),)
            option += f",vhost=on,vhostfd={fds[1]}"
        yield Link(option, _HOST, _GUEST, _mac_of(space, _TAP), (_GUEST, 9), _TAP, fds, helper)


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
