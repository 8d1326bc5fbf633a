"""mq=on with a back end that has one pair of queues."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.mending import changed
from qtrace.explain.rule import Finding, Mend, Seen, Severity, Tree

SEVERITY: Severity = "note"
WORD = Tree("hw/net/virtio-net.c", "max_queue_pairs")


def look(seen: Seen) -> Iterator[Finding]:
    for nic in seen.network.nics:
        if not nic.type.startswith("virtio-net") or not seen.on(nic, "mq") or nic.queues != 1:
            continue
        other = nic.peer
        more = (
            f": queues=N of {other.name} makes more" if other and other.type in ("tap", "vhost-user") else ""
        )
        if other and {"fd", "fds"} & other.values.keys():
            more = ": as many pairs as fds= has descriptors, and there is one"
        yield Finding(
            nic.name,
            f"mq=on, but there is one pair of queues all the same{more}",
            Mend((changed(nic.option, {}, ("mq",)),)) if nic.option and nic.form == "-device" else None,
        )
