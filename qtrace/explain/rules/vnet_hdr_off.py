"""A tap that is opened without the header that offloads need."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.mending import changed
from qtrace.explain.rule import Finding, Mend, Seen, Severity, Tree

SEVERITY: Severity = "dear"
WORD = Tree("net/tap-linux.c", "IFF_VNET_HDR")


def look(seen: Seen) -> Iterator[Finding]:
    for nic, other in seen.virtio_pairs():
        if other.type == "tap" and seen.on(other, "vnet_hdr") is False:
            yield Finding(
                other.name,
                f"vnet_hdr=off ends every offload of {nic.name}: large frames are cut up in the guest, "
                "one system "
                "call for each",
                Mend((changed(other.option, {}, ("vnet_hdr",)),)) if other.option else None,
            )
