"""A transmit ring that is larger than the back end's kind allows."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.mending import changed
from qtrace.explain.rule import Finding, Mend, Seen, Severity, Tree

SEVERITY: Severity = "dear"
WORD = Tree("hw/net/virtio-net.c", "virtio_net_max_tx_queue_size(")
_LARGE = ("vhost-user", "vhost-vdpa")
_USUAL = 256


def look(seen: Seen) -> Iterator[Finding]:
    for nic in seen.network.nics:
        ring = seen.number(nic, "tx_queue_size") if nic.type.startswith("virtio-net") else None
        if ring and ring > _USUAL and not (nic.peer and nic.peer.type in _LARGE):
            yield Finding(
                nic.name,
                f"tx_queue_size={ring}: a transmit ring of more than {_USUAL} is for vhost-user and "
                "vhost-vdpa; "
                f"here it is {_USUAL}, and later releases refuse it",
                Mend((changed(nic.option, {}, ("tx_queue_size",)),)) if nic.option else None,
            )
