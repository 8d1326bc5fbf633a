"""A tap that does not exist on this host yet."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.rule import Finding, Seen, Severity, Tree

SEVERITY: Severity = "note"
WORD = Tree("net/tap-linux.c", "TUNSETIFF")


def look(seen: Seen) -> Iterator[Finding]:
    for client in filter(seen.opens_a_tap, seen.network.netdevs):
        interface = str(client.values.get("ifname", ""))
        if interface and "%" not in interface and not seen.host.has_interface(interface):
            yield Finding(
                client.name,
                f"there is no interface {interface!r} on this host now: QEMU makes it, for which it needs "
                "CAP_NET_ADMIN",
            )
        elif not interface:
            yield Finding(
                client.name, "QEMU makes a tap of its own and the kernel names it: it needs CAP_NET_ADMIN"
            )
