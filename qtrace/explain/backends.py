"""The checks in the back ends' init functions (net/slirp.c, tap.c, socket.c, dgram.c, l2tpv3.c …).

Only errors of the line itself are checked. Conditions of the machine on which it is started (a port in use, a
switch that does not run) are not.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qtrace.errors import RefusedLine
from qtrace.explain.opts import Opts
from qtrace.explain.values import number, truth

__all__ = ["Given", "check_backend", "ipv4_address", "ipv4_network", "parse_mac", "split_forward"]

_MOST_QUEUES = 1024
_PORTS = 65535
_OFFSET = 0xFFFFFF
_HEX = re.compile(r"\s*[+-]?(?:0[xX])?([0-9a-fA-F]+)")


@dataclass(slots=True)
class Given:
    """One back end's options with their final values, and other parts of the line that it may need."""

    opts: Opts
    values: Mapping[str, Any]
    hub: bool = False
    chardevs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    forwards: list[tuple[str, str, int]] = field(default_factory=list)

    def refuse(self, reason: str, hint: str = "") -> RefusedLine:
        """The error, which names this option."""
        return RefusedLine(f"{self.opts.option}: {reason}", hint=hint)

    def has(self, *names: str) -> list[str]:
        """Those of these names that the line gives."""
        return [name for name in names if name in self.values]


def check_backend(kind: str, given: Given) -> int:
    """The number of queues (clients) of the back end. Raises RefusedLine if its init function would fail."""
    check = _CHECKS.get(kind)
    return check(given) if check else 1


def parse_mac(text: str, *, strict: bool) -> str | None:
    """A MAC address in QEMU's notation; None for text that is no MAC address. `strict`: the property `mac`.

    net_parse_macaddr (net/util.c) also accepts a number below 2^24, and one digit for a byte.
    """
    if strict:
        return (
            text.lower().replace("-", ":")
            if re.fullmatch(r"[0-9a-fA-F]{2}(?:[:-][0-9a-fA-F]{2}){5}", text)
            else None
        )
    value = number(text)
    if value is not None and 0 <= value <= _OFFSET:
        return f"00:00:00:{value >> 16:02x}:{value >> 8 & 255:02x}:{value & 255:02x}"
    parts = re.split(r"[:-]", text)
    found = [_HEX.fullmatch(part) for part in parts]
    if len(parts) != 6 or not all(found):
        return None
    return ":".join(f"{int(match[1], 16) & 255:02x}" for match in found if match)


def ipv4_address(text: str) -> int | None:
    """An IPv4 address by the rules of inet_aton."""
    with contextlib.suppress(OSError, ValueError, UnicodeError):
        return int.from_bytes(socket.inet_aton(text), "big")
    return None


def _on(given: Given, name: str) -> bool:
    value = given.values.get(name)
    return value is True or (isinstance(value, str) and truth(value) is True)


def _host_port(given: Given, text: str) -> int | None:
    """The address in `host:port`, 0 for none, None for a name that needs a lookup."""
    host, colon, port = text.partition(":")
    if not colon:
        raise given.refuse(f"{text!r} is not HOST:PORT: it has no ':'")
    return _pair(given, host, port)


def _pair(given: Given, host: str, port: str) -> int | None:
    address = ipv4_address(host) if host[:1].isdigit() else None if host else 0
    if host[:1].isdigit() and address is None:
        raise given.refuse(f"{host!r} is no IPv4 address")
    if not re.match(r"\s*[+-]?\d", port):
        raise given.refuse(f"{port!r} is no port number")
    return address


def _user(given: Given) -> int:
    four, six = _families(given)
    if not four and given.has("net", "ip", "host", "dns"):
        raise given.refuse("IPv4 is off, but net=, host= or dns= says how it should be")
    if not six and given.has("ipv6-prefix", "ipv6-net", "ipv6-host", "ipv6-dns"):
        raise given.refuse("IPv6 is off, but an ipv6-… option says how it should be")
    if not four and not six:
        raise given.refuse("IPv4 and IPv6 are both off")
    network, mask = ipv4_network(given)
    host = network | (0x0202 & ~mask)
    dns = network | (0x0203 & ~mask)
    dhcp = network | (0x020F & ~mask)
    restricted = _on(given, "restrict")
    host = _inside(given, "host", host, network, mask, True)
    dns = _inside(given, "dns", dns, network, mask, restricted)
    if dns == host:
        raise given.refuse("the name server (dns=) cannot have the host's address (host=)")
    dhcp = _inside(given, "dhcpstart", dhcp, network, mask, True)
    if dhcp in (host, dns):
        raise given.refuse("dhcpstart= cannot be the host's or the name server's address")
    if "smbserver" in given.values and ipv4_address(str(given.values["smbserver"])) is None:
        raise given.refuse("smbserver= is no IPv4 address")
    _six(given, restricted)
    _names(given)
    for rule in given.values.get("hostfwd", ()):
        _hostfwd(given, str(rule))
    taken: set[tuple[int, int]] = set()
    # QEMU builds the list from its end: the last rule is set up first.
    for rule in given.values.get("guestfwd", ()):
        _guestfwd(given, str(rule), network, mask, {host, dns}, taken)
    return 1


def _names(given: Given) -> None:
    for name, most in (("domainname", 255), ("hostname", 255), ("tftp-server-name", 255)):
        if len(str(given.values.get(name, "")).encode(errors="replace")) > most:
            raise given.refuse(f"{name}= is longer than {most} bytes")
    if given.values.get("domainname") == "":
        raise given.refuse("domainname= is empty")


def _families(given: Given) -> tuple[bool, bool]:
    four, six = given.values.get("ipv4"), given.values.get("ipv6")
    on4, on6 = _on(given, "ipv4"), _on(given, "ipv6")
    off4 = (six is not None and on6 and four is None) or (four is not None and not on4)
    off6 = (four is not None and on4 and six is None) or (six is not None and not on6)
    return not off4, not off6


def ipv4_network(given: Given) -> tuple[int, int]:
    """(network, mask) of the guest's network with a `user` back end (net_slirp_init). Raises RefusedLine."""
    said = given.values.get("net")
    if said is None and "ip" in given.values:
        said = f"{given.values['ip']}/24"
    if said is None:
        return 0x0A000200, 0xFFFFFF00
    text, slash, behind = str(said).partition("/")
    address = ipv4_address(text)
    if address is None:
        raise given.refuse(f"net={said}: this is no IPv4 network")
    if not slash:
        mask = _class_of(address)
    elif re.fullmatch(r"\s*[+-]?\d+|", behind):
        bits = int(behind or 0)
        if not 4 <= bits <= 32:
            raise given.refuse(f"net={said}: a network has 4 to 32 bits")
        mask = (0xFFFFFFFF << (32 - bits)) & 0xFFFFFFFF
    else:
        found = ipv4_address(behind)
        if found is None:
            raise given.refuse(f"net={said}: {behind!r} is no network mask")
        mask = found
    return address & mask, mask


def _class_of(address: int) -> int:
    """The mask of a network without one (net_slirp_init)."""
    for bits, value, mask in (
        (0x80000000, 0, 0xFF000000),
        (0xFFF00000, 0xAC100000, 0xFFF00000),
        (0xC0000000, 0x80000000, 0xFFFF0000),
        (0xFFFF0000, 0xC0A80000, 0xFFFF0000),
        (0xFFFF0000, 0xC6120000, 0xFFFE0000),
        (0xE0000000, 0xE0000000, 0xFFFFFF00),
    ):
        if address & bits == value:
            return mask
    return 0xFFFFFFF0


def _inside(given: Given, name: str, default: int, network: int, mask: int, must: bool) -> int:
    address = default
    if name in given.values:
        found = ipv4_address(str(given.values[name]))
        if found is None:
            raise given.refuse(f"{name}={given.values[name]} is no IPv4 address")
        address = found
    if must and address & mask != network:
        raise given.refuse(f"{name}= lies outside the guest's network (net=)")
    return address


def _six(given: Given, restricted: bool) -> None:
    text = str(given.values.get("ipv6-prefix", "fec0::"))
    prefix = _address6(text)
    if prefix is None:
        raise given.refuse(f"{text!r} is no IPv6 prefix")
    bits = number(str(given.values.get("ipv6-prefixlen", 0))) or 64
    if not 0 <= bits <= 126:
        raise given.refuse("an IPv6 prefix has 0 to 126 bits")
    for name, must in (("ipv6-host", True), ("ipv6-dns", restricted)):
        if name in given.values:
            found = _address6(str(given.values[name]))
            if found is None:
                raise given.refuse(f"{name}={given.values[name]} is no IPv6 address")
            if must and (found ^ prefix) >> (128 - bits):
                raise given.refuse(f"{name}= lies outside the guest's network (ipv6-net=)")


def _address6(text: str) -> int | None:
    with contextlib.suppress(OSError, ValueError, UnicodeError):
        return int.from_bytes(socket.inet_pton(socket.AF_INET6, text), "big")
    return None


def split_forward(rule: str) -> tuple[str, str, str, str, str]:
    """(protocol, host's address, its port, guest's address, its port) of a hostfwd rule, as written.

    Raises ValueError with the missing part.
    """
    protocol, colon, rest = rule.partition(":")
    if not colon:
        raise ValueError("it has no ':'")
    if protocol not in ("tcp", "udp", ""):
        raise ValueError(f"{protocol!r} is neither tcp nor udp")
    host, colon, rest = rest.partition(":")
    if not colon:
        raise ValueError("it has only one ':'")
    if host and ipv4_address(host) is None:
        raise ValueError(f"{host!r} is no IPv4 address of the host")
    port, dash, rest = rest.partition("-")
    if not dash:
        raise ValueError("a '-' and the guest's side must follow the host's port")
    guest, colon, inner = rest.partition(":")
    if not colon and _port(port, 0) is not None:
        raise ValueError("a ':' must stand between the guest's address and its port")
    return protocol or "tcp", host, port, guest, inner


def _port(text: str, least: int) -> int | None:
    found = number(text) if text or least else 0
    return found if found is not None and least <= found <= _PORTS else None


def _hostfwd(given: Given, rule: str) -> None:
    def wrong(why: str) -> RefusedLine:
        return given.refuse(f"hostfwd={rule}: {why}", hint="it is written tcp:[HOST]:PORT-[GUEST]:PORT")

    try:
        protocol, host, port_text, guest, inner = split_forward(rule)
    except ValueError as exc:
        raise wrong(str(exc)) from exc
    port = _port(port_text, 0)
    if port is None:
        raise wrong(f"{port_text!r} is no port of the host")
    if guest and ipv4_address(guest) is None:
        raise wrong(f"{guest!r} is no IPv4 address of the guest")
    if _port(inner, 1) is None:
        raise wrong(f"{inner!r} is no port of the guest")
    if not port:
        return
    ours = (protocol, host or "0.0.0.0", port)
    for kind, where, other in given.forwards:
        same = where == ours[1] or "0.0.0.0" in (where, ours[1])
        if (kind, other) == (protocol, port) and same:
            raise wrong(f"port {port} of the host is forwarded twice")
    given.forwards.append(ours)


def _guestfwd(
    given: Given, rule: str, network: int, mask: int, taken: set[int], used: set[tuple[int, int]]
) -> None:
    wrong = given.refuse(
        f"guestfwd={rule}: it is no forwarding rule", hint="it is written tcp:SERVER:PORT-TARGET"
    )
    protocol, colon, rest = rule.partition(":")
    server_text, second, rest = rest.partition(":")
    port_text, dash, target = rest.partition("-")
    server = ipv4_address(server_text) if server_text else 0
    if protocol not in ("tcp", "") or not (colon and second and dash) or server is None:
        raise wrong
    if not port_text.strip().isdigit() or not 1 <= int(port_text) <= _PORTS:
        raise wrong
    where = server or network | (0x0204 & ~mask)
    if where & mask != network or where in taken or (where, int(port_text)) in used:
        raise given.refuse(f"guestfwd={rule}: the server's address is taken, or outside the guest's network")
    used.add((where, int(port_text)))
    if not target:
        raise wrong


def _tap(given: Given) -> int:
    if given.hub and given.has("queues", "fds", "vhostfds"):
        raise given.refuse("a tap on a hub has one queue", hint="use -nic or -netdev with -device")
    queues = number(str(given.values.get("queues", 1)))
    assert queues is not None
    for main, others in (
        ("fd", ("ifname", "script", "downscript", "vnet_hdr", "helper", "queues", "fds", "vhostfds")),
        ("fds", ("ifname", "script", "downscript", "vnet_hdr", "helper", "queues", "vhostfd")),
        ("helper", ("ifname", "script", "downscript", "vnet_hdr", "queues", "vhostfds")),
    ):
        if main in given.values:
            if wrong := given.has(*others):
                raise given.refuse(
                    f"{main}= brings a tap that is open already; {', '.join(wrong)} cannot be set"
                )
            if main == "helper":
                return 1
            names = str(given.values[main]).split(":") if main == "fds" else [str(given.values[main])]
            _descriptors(given, names)
            if main == "fds" and "vhostfds" in given.values:
                others_ = str(given.values["vhostfds"]).split(":")
                if len(others_) != len(names):
                    raise given.refuse("fds= and vhostfds= name different numbers of descriptors")
            _vhostfd(given)
            return len(names)
    if "vhostfds" in given.values:
        raise given.refuse("vhostfds= goes with fds= only")
    if queues < 1:
        raise given.refuse("with no queue there is no tap: QEMU ends with a failed assertion")
    _vhostfd(given)
    return queues


def _vhostfd(given: Given) -> None:
    wanted = _on(given, "vhost") if "vhost" in given.values else True
    if not wanted and given.has("vhostfd", "vhostfds"):
        raise given.refuse("a descriptor for vhost is given, but vhost is off")


def _descriptors(given: Given, names: list[str]) -> None:
    for name in names:
        if not re.fullmatch(r"\d+", name):
            raise given.refuse(f"{name!r} is no number of an open file descriptor")


def _socket(given: Given) -> int:
    ways = given.has("fd", "listen", "connect", "mcast", "udp")
    if len(ways) != 1:
        raise given.refuse(
            f"one of listen=, connect=, mcast=, udp= or fd= is needed, and only one; there are {len(ways)}"
        )
    way, text = ways[0], str(given.values[ways[0]])
    if "localaddr" in given.values and way not in ("mcast", "udp"):
        raise given.refuse("localaddr= goes with mcast= or udp= only")
    if way == "fd":
        _descriptors(given, [text])
        return 1
    if way == "udp" and "localaddr" not in given.values:
        raise given.refuse("udp= needs localaddr= too")
    if way == "udp":
        _host_port(given, str(given.values["localaddr"]))
    address = _host_port(given, text)
    if way == "mcast":
        local = given.values.get("localaddr")
        if local is not None and ipv4_address(str(local)) is None:
            raise given.refuse(f"localaddr={local} is no IPv4 address")
        _multicast(given, address, text)
    return 1


def _stream(given: Given) -> int:
    again = given.has("reconnect", "reconnect-ms")
    if len(again) == 2:
        raise given.refuse("reconnect= and reconnect-ms= say the same: give one of them")
    if again and _on(given, "server"):
        raise given.refuse(f"{again[0]}= is for the end that connects, and this one is the server")
    return 1


def _multicast(given: Given, address: int | None, text: str) -> None:
    if address is not None and address >> 28 != 0xE:
        raise given.refuse(f"{text} is no multicast address", hint="those are 224.0.0.0 to 239.255.255.255")


def _dgram(given: Given) -> int:
    remote, local = given.values.get("remote") or {}, given.values.get("local") or {}
    if remote.get("type") == "inet" and _to_many(given, remote):
        if local and local.get("type") not in ("inet", "fd"):
            raise given.refuse("with a multicast address, local is of the type inet or fd")
        return 1
    if not local:
        raise given.refuse("it needs local: where datagrams are received")
    kind = local.get("type")
    if remote and kind == "fd":
        raise given.refuse("local is an open descriptor, which has its remote end already")
    if remote and remote.get("type") != kind:
        raise given.refuse("remote and local must be of one type")
    if not remote and kind != "fd":
        raise given.refuse(f"local of the type {kind} needs remote too")
    _local_end(given, local)
    return 1


def _local_end(given: Given, local: Mapping[str, Any]) -> None:
    kind = local.get("type")
    if kind == "inet":
        _pair(given, str(local.get("host", "")), str(local.get("port", "")))
    elif kind == "fd":
        _descriptors(given, [str(local.get("str", ""))])
    elif kind != "unix":
        raise given.refuse("local is of the type inet, unix or fd")


def _to_many(given: Given, remote: Mapping[str, Any]) -> bool:
    """Whether a remote end is a multicast group."""
    address = _pair(given, str(remote.get("host", "")), str(remote.get("port", "")))
    return address is not None and address >> 28 == 0xE


def _l2tpv3(given: Given) -> int:
    if (number(str(given.values.get("offset", 0))) or 0) > 256:
        raise given.refuse("offset= is less than 256 bytes")
    if len(given.has("rxcookie", "txcookie")) == 1:
        raise given.refuse("rxcookie= and txcookie= go together")
    if _on(given, "udp") and len(given.has("srcport", "dstport")) < 2:
        raise given.refuse("over UDP it needs srcport= and dstport=")
    return 1


def _vhost_user(given: Given) -> int:
    name = str(given.values.get("chardev"))
    device = given.chardevs.get(name)
    if device is None:
        raise given.refuse(f"there is no chardev {name!r}", hint=f"add -chardev socket,id={name},path=…")
    if device.get("backend") != "socket":
        raise given.refuse(f"the chardev {name!r} is no socket")
    if "path" not in device:
        raise given.refuse(f"the chardev {name!r} cannot hand over descriptors: it is no unix socket")
    queues = number(str(given.values.get("queues", 1))) or 0
    if not 1 <= queues <= _MOST_QUEUES:
        raise given.refuse(f"queues= lies between 1 and {_MOST_QUEUES}")
    return queues


def _vdpa(given: Given) -> int:
    ways = given.has("vhostdev", "vhostfd")
    if not ways:
        raise given.refuse("it needs vhostdev= or vhostfd=")
    if len(ways) == 2:
        raise given.refuse("vhostdev= and vhostfd= exclude each other")
    return 1


_CHECKS: Mapping[str, Callable[[Given], int]] = {
    "user": _user,
    "tap": _tap,
    "socket": _socket,
    "stream": _stream,
    "dgram": _dgram,
    "l2tpv3": _l2tpv3,
    "vhost-user": _vhost_user,
    "vhost-vdpa": _vdpa,
}
