"""A back end with more queues than its virtio NIC offers the guest."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.mending import changed
from qtrace.explain.rule import Finding, Mend, Seen, Severity, Tree

SEVERITY: Severity = "dear"
WORD = Tree("hw/net/virtio-net.c", "VIRTIO_NET_F_MQ")


def look(seen: Seen) -> Iterator[Finding]:
    for nic, other in seen.virtio_pairs():
        if other.queues > 1 and not seen.on(nic, "mq"):
            yield Finding(
                nic.name,
                f"{other.name} has {other.queues} pairs of queues, and without mq=on the guest uses one "
                "of them",
                Mend((changed(nic.option, {"mq": True}),)) if nic.option and nic.form == "-device" else None,
            )
