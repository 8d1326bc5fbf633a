"""The roles of a vhost-user pair: one end listens on the socket, the other connects."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.rule import Finding, Seen, Severity, Tree
from qtrace.explain.values import truth

SEVERITY: Severity = "note"
WORD = Tree("net/vhost-user.c", "net_vhost_claim_chardev(")


def look(seen: Seen) -> Iterator[Finding]:
    chardevs = {opts.id: opts for opts in seen.chardevs()}
    for client in seen.network.netdevs:
        opts = chardevs.get(str(client.values.get("chardev"))) if client.type == "vhost-user" else None
        if opts is None:
            continue
        path = opts.get("path")
        if truth(opts.get("server") or "off"):
            said = f"QEMU listens on {path} and waits for the switch: dpdkvhostuserclient in Open vSwitch"
        else:
            said = f"the switch must listen on {path} before QEMU starts: dpdkvhostuser in Open vSwitch"
        yield Finding(client.name, said)
