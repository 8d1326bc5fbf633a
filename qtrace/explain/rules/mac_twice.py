"""Two NICs of the guest with one MAC address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from qtrace.explain.rule import Finding, Seen, Severity, Tree

SEVERITY: Severity = "note"
WORD = Tree("net/net.c", "qemu_macaddr_default_if_unset(")


def look(seen: Seen) -> Iterator[Finding]:
    count = Counter(nic.mac for nic in seen.network.nics if nic.mac)
    for nic in seen.network.nics:
        if nic.mac and count[nic.mac] > 1:
            yield Finding(nic.name, f"the MAC address {nic.mac} is given {count[nic.mac]} times")
