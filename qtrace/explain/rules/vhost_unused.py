"""vhost=on without a virtio NIC at the other end."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.mending import changed
from qtrace.explain.rule import Finding, Mend, Seen, Severity, Tree

NAME = "vhost"
SEVERITY: Severity = "dear"
WORD = Tree("hw/net/virtio-net.c", "get_vhost_net(")


def look(seen: Seen) -> Iterator[Finding]:
    for client in seen.network.netdevs:
        if client.type not in ("tap", "bridge") or not seen.on(client, "vhost") or client.peer is None:
            continue
        if client.peer.type.startswith("virtio-net"):
            continue
        who = "a hub" if client.peer.kind == "port" else client.peer.type
        yield Finding(
            client.name,
            f"vhost=on has no effect with {who}: the kernel carries frames for a virtio NIC only",
            Mend((changed(client.option, {}, ("vhost",)),)) if client.option else None,
        )
