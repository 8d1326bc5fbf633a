"""A queue length that a virtio NIC is given, and that this release of QEMU does not heed."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.mending import changed
from qtrace.explain.rule import Finding, Mend, Seen, Severity, Tree

SEVERITY: Severity = "note"
# virtio_add_queue, in the stable releases that got this line: 10.0.13 has it, 10.2.2 and 7.2.22 have not.
WORD = Tree("hw/virtio/virtio.c", "queue_size = VIRTQUEUE_MAX_SIZE;")
_NAMES = ("rx_queue_size", "tx_queue_size")


def look(seen: Seen) -> Iterator[Finding]:
    if WORD.words not in seen.source(WORD.file):
        return
    for nic in seen.network.nics:
        asked = [name for name in _NAMES if name in nic.values] if nic.type.startswith("virtio-net") else []
        if asked:
            yield Finding(
                nic.name,
                f"{' and '.join(asked)}: this release makes each of the card's queues 1024 entries long, "
                "whatever the option says",
                Mend((changed(nic.option, {}, tuple(asked)),)) if nic.option else None,
            )
