"""Two back ends of one line that listen on the same port."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.rule import Finding, Seen, Severity, Tree

SEVERITY: Severity = "wrong"
WORD = Tree("net/socket.c", "can't bind ip=")


def look(seen: Seen) -> Iterator[Finding]:
    first: dict[str, str] = {}
    for client in seen.network.netdevs:
        listen = str(client.values.get("listen", "")) if client.type == "socket" else ""
        port = listen.rpartition(":")[2]
        if not port or port == "0":
            continue
        if port in first:
            yield Finding(
                client.name, f"port {port} is listened on by {first[port]} already: QEMU ends with 'in use'"
            )
        first.setdefault(port, client.name)
