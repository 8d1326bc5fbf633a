"""A NIC whose own MAC address is a multicast one."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.rule import Finding, Seen, Severity, Tree

SEVERITY: Severity = "wrong"
WORD = Tree("net/net.c", "NIC cannot have multicast MAC address")


def look(seen: Seen) -> Iterator[Finding]:
    for nic in seen.network.nics:
        if nic.mac and int(nic.mac[:2], 16) & 1:
            yield Finding(nic.name, f"{nic.mac} is a multicast address")
