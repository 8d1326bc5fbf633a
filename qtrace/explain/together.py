"""Two lines read together: resources that only one may use, and ends of sockets that do not match.

Addresses of sockets are compared as written; an empty host or 0.0.0.0 stands for every address.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from qtrace.explain.backends import split_forward
from qtrace.explain.clients import Client, Network
from qtrace.explain.values import truth

__all__ = ["together"]

_ANY = ("", "0.0.0.0", "::")
_LOCAL = (*_ANY, "localhost")


@dataclass(frozen=True, slots=True)
class _End:
    """One end of a socket: its own address, and the address to which it sends or connects; empty for none."""

    name: str
    kind: str  # stream, datagram
    at: str
    to: str


def together(one: Network, two: Network) -> list[dict[str, str]]:
    """Findings about two lines that run on one host, as {kind, severity, about, text}."""
    found = [*_macs(one, two), *_taps(one, two), *_ports(one, two), *_groups(one, two)]
    # An end that only listens cannot tell that no one connects: the other line's end reports it.
    found += [*_ends(one, two)] or [
        (kind, bad, f"{about} of the other line", text) for kind, bad, about, text in _ends(two, one)
    ]
    names = ("kind", "severity", "about", "text")
    return [dict(zip(names, item, strict=True)) for item in found]


_Found = tuple[str, str, str, str]


def _macs(one: Network, two: Network) -> Iterator[_Found]:
    theirs = {nic.mac: nic.name for nic in two.nics if nic.mac}
    for nic in one.nics:
        if nic.mac in theirs:
            yield (
                "same-mac",
                "wrong",
                nic.name,
                f"{theirs[nic.mac]} of the other line has the MAC address {nic.mac}, too: what joins the two "
                "guests sends each one's frames to either; give one of them mac=",
            )


def _taps(one: Network, two: Network) -> Iterator[_Found]:
    theirs = {str(item.values["ifname"]): item.name for item in two.netdevs if "ifname" in item.values}
    for item in one.netdevs:
        name = str(item.values.get("ifname", ""))
        if name in theirs and "%" not in name:
            text = f"{theirs[name]} of the other line opens {name}, too: the second is refused ('busy')"
            yield "same-tap", "wrong", item.name, text


def _ports(one: Network, two: Network) -> Iterator[_Found]:
    theirs = list(_taken(two))
    for name, protocol, host, port in _taken(one):
        for other, its_protocol, its_host, its_port in theirs:
            same = host == its_host or host in _ANY or its_host in _ANY
            if (protocol, port) == (its_protocol, its_port) and same:
                text = f"{other} of the other line takes {protocol} port {port} of the host, too"
                yield "same-port", "wrong", name, text


def _taken(network: Network) -> Iterator[tuple[str, str, str, str]]:
    """(name, protocol, host, port) of each port of the host that a line takes."""
    for client in network.netdevs:
        for rule in client.values.get("hostfwd", ()):
            protocol, host, port, _, _ = split_forward(str(rule))
            if port not in ("", "0"):
                yield client.name, protocol, host, port
        end = _end(client)
        host, _, port = end.at.rpartition(":") if end else ("", "", "")
        if end and port not in ("", "0") and "/" not in port:
            yield client.name, "tcp" if end.kind == "stream" else "udp", host, port


def _ends(one: Network, two: Network) -> Iterator[_Found]:
    ours = [end for client in one.netdevs if (end := _end(client))]
    theirs = [end for client in two.netdevs if (end := _end(client))]
    for end in ours:
        if not end.to:
            continue
        others = [other for other in theirs if other.kind == end.kind]
        met = [other for other in others if _same(end.to, other.at)]
        if not met and others:
            where = ", ".join(other.at or "nowhere" for other in others)
            text = f"it sends to {end.to}, and the other line is at {where}: they do not meet"
            yield "ends-apart", "wrong", end.name, text
        for other in met:
            if end.kind == "datagram" and not _same(other.to, end.at):
                text = f"{other.name} of the other line sends to {other.to}, and this one is at {end.at}"
                yield "ends-apart", "wrong", end.name, text


def _groups(one: Network, two: Network) -> Iterator[_Found]:
    theirs = {str(item.values["mcast"]) for item in two.netdevs if "mcast" in item.values}
    for item in one.netdevs:
        group = str(item.values.get("mcast", ""))
        if group and theirs and group not in theirs:
            text = f"its group is {group}, the other line's {', '.join(sorted(theirs))}: they do not meet"
            yield "ends-apart", "wrong", item.name, text


def _end(client: Client) -> _End | None:
    values = client.values
    if client.type == "socket" and "listen" in values:
        return _End(client.name, "stream", str(values["listen"]), "")
    if client.type == "socket" and "connect" in values:
        return _End(client.name, "stream", "", str(values["connect"]))
    if client.type == "socket" and "udp" in values:
        return _End(client.name, "datagram", str(values["localaddr"]), str(values["udp"]))
    if client.type == "stream":
        place = _written(values.get("addr"))
        server = values.get("server") is True or truth(str(values.get("server", ""))) is True
        return _End(client.name, "stream", place if server else "", "" if server else place)
    if client.type == "dgram":
        return _End(client.name, "datagram", _written(values.get("local")), _written(values.get("remote")))
    return None


def _written(address: Any) -> str:
    """HOST:PORT or a path of an address of the schema."""
    if not isinstance(address, dict):
        return ""
    if address.get("type") == "unix":
        return str(address.get("path", ""))
    return f"{address.get('host', '')}:{address.get('port', '')}" if "port" in address else ""


def _same(to: str, at: str) -> bool:
    """Whether data sent to address `to` arrives at an end with address `at`."""
    host, _, port = to.rpartition(":")
    its_host, _, its_port = at.rpartition(":")
    if to == at:
        return True
    local = host in _LOCAL or host.startswith("127.")
    return bool(port) and port == its_port and (its_host in _ANY or (local and its_host in _LOCAL))
