"""A virtio NIC with too few MSI-X vectors for its queues."""

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
        if given > 2 * pairs:  # one for each queue and one for the configuration; the control queue has none
            continue
        how = (
            "queues share interrupts" if given else "the guest has no MSI-X, every interrupt goes by the pin"
        )
        yield Finding(
            nic.name,
            f"vectors={given}: {how}; 2 x {pairs} pair{'s' * (pairs > 1)} + 2 is {2 * pairs + 2}, "
            "QEMU's choice without vectors=",
            Mend((changed(nic.option, {}, ("vectors",)),)) if nic.option and nic.form == "-device" else None,
        )
