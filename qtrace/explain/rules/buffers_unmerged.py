"""A virtio NIC that needs a large buffer for each frame it receives."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.mending import changed
from qtrace.explain.rule import Finding, Mend, Seen, Severity, Tree

SEVERITY: Severity = "dear"
WORD = Tree("hw/net/virtio-net.c", '"mrg_rxbuf"')


def look(seen: Seen) -> Iterator[Finding]:
    for nic in seen.network.nics:
        if nic.type.startswith("virtio-net") and seen.on(nic, "mrg_rxbuf") is False:
            yield Finding(
                nic.name,
                "mrg_rxbuf=off: with large receive offload every buffer of the ring is for 64 kB, and "
                "without it "
                "frames come one by one",
                Mend((changed(nic.option, {}, ("mrg_rxbuf",)),)) if nic.option else None,
            )
