"""A virtio NIC with fewer MSI-X vectors than it has queues for."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.mending import changed
from qtrace.explain.rule import Finding, Mend, Seen, Severity, Tree

SEVERITY: Severity = "dear"
WORD = Tree("hw/virtio/virtio-net-pci.c", "DEV_NVECTORS_UNSPECIFIED")


def look(seen: Seen) -> Iterator[Finding]:
    for nic in seen.network.nics:
        given = seen.number(nic, "vectors") if nic.type.startswith("virtio-net-pci") else None
        if given is None:
            continue
        pairs = nic.queues if seen.on(nic, "mq") else 1
        need = 2 * pairs + 2
        if given >= need:
            continue
        none = "the guest has no MSI-X: every interrupt goes by the pin, which is dear"
        yield Finding(
            nic.name,
            f"vectors={given}: {none if not given else 'queues share interrupts'}; "
            f"2 x {pairs} {'pair' if pairs == 1 else 'pairs'} + 2 is {need}, QEMU's choice without vectors=",
            Mend((changed(nic.option, {}, ("vectors",)),)) if nic.option and nic.form == "-device" else None,
        )
