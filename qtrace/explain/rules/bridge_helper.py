"""A back end whose tap the set-uid bridge helper makes."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.rule import Finding, Seen, Severity, Tree

NAME = "helper"
SEVERITY: Severity = "note"
WORD = Tree("net/tap.c", "net_bridge_run_helper(")
_DENIED = Tree("qemu-bridge-helper.c", "access denied by acl file")


def look(seen: Seen) -> Iterator[Finding]:
    for client in seen.network.netdevs:
        if client.type == "bridge":
            yield Finding(
                client.name,
                "QEMU runs the bridge helper, which must be set-uid root and allow the bridge in its "
                "bridge.conf",
            )
        if client.type == "bridge" or "helper" in client.values:
            bridge = str(client.values.get("br", "br0"))
            there = "" if seen.host.has_interface(bridge) else " (on this host it is not)"
            yield Finding(
                client.name,
                "the helper fails for three causes: it is not set-uid root ('Operation not permitted'), "
                f"bridge.conf does not allow {bridge} ('access denied by acl file'), or there is no bridge "
                f"{bridge} ('No such device'){there}",
                word=_DENIED,
            )
