"""A tap of this host that is down, and that no script brings up."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.rule import Finding, Seen, Severity, Tree

SEVERITY: Severity = "note"
WORD = Tree("net/tap.c", "launch_script(")


def look(seen: Seen) -> Iterator[Finding]:
    for client in filter(seen.opens_a_tap, seen.network.netdevs):
        interface = str(client.values.get("ifname", ""))
        if client.values.get("script") in ("no", "") and seen.host.is_up(interface) is False:
            yield Finding(
                client.name,
                f"{interface} is down and no script brings it up: 'ip link set {interface} up' does",
            )
