"""A virtio NIC that reports no speed or no duplex to the guest."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.mending import changed
from qtrace.explain.rule import Finding, Mend, Seen, Severity, Tree

SEVERITY: Severity = "note"
WORD = Tree("hw/net/virtio-net.c", "SPEED_UNKNOWN")
_LINKS = ("tap", "socket", "stream", "dgram", "vhost-user", "l2tpv3", "vde")


def look(seen: Seen) -> Iterator[Finding]:
    for nic, other in seen.virtio_pairs():
        missing = [name for name in ("speed", "duplex") if name not in nic.values]
        if other.type in _LINKS and missing:
            yield Finding(
                nic.name,
                f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} unknown to the guest: "
                "LACP (bonding "
                "802.3ad) and tools that ask for them need speed=10000,duplex=full",
                Mend((changed(nic.option, {"speed": 10000, "duplex": "full"}),))
                if nic.option and nic.form == "-device"
                else None,
            )
