"""QEMU's netdevs that send frames through a socket, in every form, each with the relay's end."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from qtrace.errors import LabError
from qtrace.lab.guest.guest import QEMU_UID
from qtrace.lab.host.netns import Namespace
from qtrace.lab.host.owned import private_dir

__all__ = ["FORMS", "WIRED", "Wire", "open_wire"]

_LOCAL, _GROUP = "127.0.0.1", "230.0.0.1"
_QEMU, _OURS, _SHARED = 7001, 7002, 7003  # ports, in the link's own namespace
_RCVBUFFORCE = 33  # asm-generic/socket.h
_ROOM = 16 * 2**20  # bytes: the relay is slower than QEMU, and UDP drops frames when the buffer is full
# RFC 3931, 4.1.2.1: data in version 3, then the receiver's session id.
_L2TP = struct.Struct("!HHI")


@dataclass(frozen=True, slots=True)
class Wire:
    """`option` follows `-netdev`, `fds` are the descriptors that QEMU inherits for it; `agent` is the
    argument that names relay_agent's socket, `held` its descriptors. This process holds `sockets` until QEMU
    and the relay have them."""

    option: str
    agent: tuple[str, ...]
    held: tuple[int, ...] = ()
    fds: tuple[int, ...] = ()
    sockets: tuple[socket.socket, ...] = field(default=())


def _pair(space: Namespace, kind: socket.SocketKind) -> Wire:
    # Made in the namespace, so that /proc lists it with the other sockets of QEMU's namespace.
    ours, theirs = space.make(lambda: socket.socketpair(socket.AF_UNIX, kind))
    option = f"socket,id=net0,fd={theirs.fileno()}"
    agent, held = ("fd", str(ours.fileno())), (ours.fileno(),)
    return Wire(option, agent, held, (theirs.fileno(),), (ours, theirs))


def _bound(space: Namespace, address: tuple[str, int], kind: socket.SocketKind) -> socket.socket:
    def make() -> socket.socket:
        made = socket.socket(socket.AF_INET, kind)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, _ROOM)
        made.bind(address)
        return made

    return space.make(make)


def _datagrams(space: Namespace, option: str, port: int = _OURS, *more: str) -> Wire:
    ours = _bound(space, (_LOCAL, port), socket.SOCK_DGRAM)
    agent = ("fd", str(ours.fileno()), "--to", f"{_LOCAL}:{_QEMU}", *more)
    return Wire(option, agent, (ours.fileno(),), (), (ours,))


def _group(space: Namespace, option: str) -> Wire:
    """Two sockets: a member of a group receives its own frames; the relay recognises them by the sender's
    port."""
    heard = _bound(space, (_GROUP, _SHARED), socket.SOCK_DGRAM)
    member = socket.inet_aton(_GROUP) + socket.inet_aton(_LOCAL)
    heard.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    sends = _bound(space, (_LOCAL, _OURS), socket.SOCK_DGRAM)
    sends.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(_LOCAL))
    held = (heard.fileno(), sends.fileno())
    agent = (
        "fd",
        str(held[0]),
        "--send",
        str(held[1]),
        "--to",
        f"{_GROUP}:{_SHARED}",
        "--not-from",
        str(_OURS),
    )
    return Wire(option, agent, held, (), (heard, sends))


def _listening(space: Namespace, option: str) -> Wire:
    ours = _bound(space, (_LOCAL, _QEMU), socket.SOCK_STREAM)
    ours.listen(1)
    return Wire(option, ("accept", str(ours.fileno())), (ours.fileno(),), (), (ours,))


def _l2tpv3(space: Namespace) -> Wire:
    option = (
        f"l2tpv3,id=net0,src={_LOCAL},dst={_LOCAL},udp=on,srcport={_QEMU},dstport={_OURS},"
        "rxsession=0x1,txsession=0x2"
    )
    return _datagrams(space, option, _OURS, "--header", _L2TP.pack(3, 0, 1).hex())


def _path(home: Path, name: str) -> str:
    """The path of a socket for both: QEMU's user owns the folder, and no other user may enter it."""
    return f"{home}/{name}"


def _unix_datagrams(space: Namespace, home: Path) -> Wire:
    def make() -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        made.bind(_path(home, "relay"))
        return made

    ours = space.make(make)
    Path(_path(home, "relay")).chmod(0o777)
    option = (
        f"dgram,id=net0,local.type=unix,local.path={_path(home, 'qemu')},"
        f"remote.type=unix,remote.path={_path(home, 'relay')}"
    )
    agent = ("fd", str(ours.fileno()), "--to", _path(home, "qemu"))
    return Wire(option, agent, (ours.fileno(),), (), (ours,))


_AT = f"{_LOCAL}:{_QEMU}"
_INET = f"type=inet,{{0}}.host={_LOCAL},{{0}}.port="
_LOCAL_END = f"local.{_INET.format('local')}{_QEMU}"
_REMOTE_END = f"remote.{_INET.format('remote')}{_OURS}"
_ADDRESS = f"addr.{_INET.format('addr')}{_QEMU}"
# (netdev, form) -> its maker. The first form of a netdev is its plain one.
_MAKERS: dict[tuple[str, str], Callable[[Namespace, Path], Wire]] = {
    ("socket", "fd"): lambda space, _: _pair(space, socket.SOCK_DGRAM),
    ("socket", "fd-stream"): lambda space, _: _pair(space, socket.SOCK_STREAM),
    ("socket", "listen"): lambda space, _: Wire(f"socket,id=net0,listen={_AT}", ("connect", _AT)),
    ("socket", "connect"): lambda space, _: _listening(space, f"socket,id=net0,connect={_AT}"),
    ("socket", "udp"): lambda space, _: _datagrams(
        space, f"socket,id=net0,udp={_LOCAL}:{_OURS},localaddr={_AT}"
    ),
    ("socket", "mcast"): lambda space, _: _group(
        space, f"socket,id=net0,mcast={_GROUP}:{_SHARED},localaddr={_LOCAL}"
    ),
    ("stream", "connect"): lambda space, _: _listening(space, f"stream,id=net0,server=off,{_ADDRESS}"),
    ("stream", "listen"): lambda space, _: Wire(f"stream,id=net0,server=on,{_ADDRESS}", ("connect", _AT)),
    ("stream", "unix"): lambda space, home: Wire(
        f"stream,id=net0,server=on,addr.type=unix,addr.path={_path(home, 'qemu')}",
        ("connect", _path(home, "qemu")),
    ),
    ("dgram", "inet"): lambda space, _: _datagrams(space, f"dgram,id=net0,{_LOCAL_END},{_REMOTE_END}"),
    ("dgram", "unix"): _unix_datagrams,
    ("dgram", "mcast"): lambda space, _: _group(
        space,
        f"dgram,id=net0,remote.type=inet,remote.host={_GROUP},remote.port={_SHARED},"
        f"local.type=inet,local.host={_LOCAL},local.port={_SHARED}",
    ),
    ("l2tpv3", "udp"): lambda space, _: _l2tpv3(space),
}
WIRED = tuple(dict.fromkeys(netdev for netdev, _ in _MAKERS))
FORMS = {netdev: tuple(form for name, form in _MAKERS if name == netdev) for netdev in WIRED}


@contextlib.contextmanager
def open_wire(space: Namespace, netdev: str, form: str = "") -> Iterator[Wire]:
    """The wire of a netdev of `WIRED`, in one of its `FORMS`; closed when the block ends. Raises LabError."""
    form = form or FORMS[netdev][0]
    if (netdev, form) not in _MAKERS:
        known = ", ".join(FORMS[netdev])
        raise LabError(f"the lab has no form {form!r} of the netdev {netdev}", hint=f"it has: {known}")
    with private_dir(QEMU_UID) as home:
        wire = _MAKERS[netdev, form](space, home)
        try:
            yield wire
        finally:
            for end in wire.sockets:
                end.close()
