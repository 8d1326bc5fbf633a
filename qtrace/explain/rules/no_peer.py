"""A NIC, a back end or a hub's port without a peer."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.rule import Finding, Seen, Severity, Tree

SEVERITY: Severity = "wrong"
WORD = Tree("net/net.c", "has no peer")


def look(seen: Seen) -> Iterator[Finding]:
    for client in seen.network.clients:
        if client.peer is not None:
            continue
        if client.kind == "nic":
            yield Finding(
                client.name,
                "this NIC has no netdev: the guest sees it, but its frames go nowhere "
                "(add netdev=ID, and -netdev …,id=ID)",
            )
        elif client.kind == "netdev":
            yield Finding(
                client.name,
                "no NIC uses this netdev: the guest does not see it "
                f"(add -device MODEL,netdev={client.name})",
            )
        else:
            yield Finding(
                client.name, f"nothing is connected to this port of hub {client.hub}", severity="note"
            )
