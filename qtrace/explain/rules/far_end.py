"""A socket whose other end needs the same addresses, exchanged."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.clients import Client
from qtrace.explain.rule import Finding, Seen, Severity, Tree

SEVERITY: Severity = "note"
WORD = Tree("net/socket.c", "net_socket_udp_init(")


def look(seen: Seen) -> Iterator[Finding]:
    for client in seen.network.netdevs:
        if said := _other_end(client):
            yield Finding(client.name, f"the other end is {said}")


def _other_end(client: Client) -> str:
    values = client.values
    if client.type == "socket" and "udp" in values:
        return f"-netdev socket,udp={values['localaddr']},localaddr={values['udp']}"
    if client.type == "socket" and "listen" in values:
        return f"-netdev socket,connect=HOST:{str(values['listen']).rpartition(':')[2]}, and starts later"
    if client.type == "socket" and "connect" in values:
        return f"-netdev socket,listen=:{str(values['connect']).rpartition(':')[2]}, and starts before"
    local, remote = values.get("local"), values.get("remote")
    if client.type == "dgram" and isinstance(local, dict) and isinstance(remote, dict):
        return f"-netdev dgram with remote {_end(local)} and local {_end(remote)}"
    return ""


def _end(end: dict[str, object]) -> str:
    if end.get("type") == "inet":
        return f"{end.get('host')}:{end.get('port')}"
    return str(end.get("path", end.get("str", "")))
