"""A hub with NICs that has no connection outside QEMU."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.rule import Finding, Seen, Severity, Tree

SEVERITY: Severity = "wrong"
WORD = Tree("net/hub.c", "is not connected to host network")


def look(seen: Seen) -> Iterator[Finding]:
    for number, ports in seen.network.hubs.items():
        kinds = {port.peer.kind for port in ports if port.peer}
        if "nic" in kinds and "netdev" not in kinds:
            yield Finding(f"hub {number}", "nothing on this hub leads out of QEMU")
