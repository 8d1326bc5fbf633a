"""A virtio NIC whose vCPU waits for QEMU at every doorbell."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.mending import changed
from qtrace.explain.rule import Finding, Mend, Seen, Severity, Tree

SEVERITY: Severity = "dear"
WORD = Tree("hw/virtio/virtio-net-pci.c", '"ioeventfd"')


def look(seen: Seen) -> Iterator[Finding]:
    for nic in seen.network.nics:
        if nic.type.startswith("virtio-net") and seen.on(nic, "ioeventfd") is False:
            yield Finding(
                nic.name,
                "ioeventfd=off: the guest's processor stands still while QEMU handles each doorbell, and "
                "vhost "
                "cannot be used",
                Mend((changed(nic.option, {}, ("ioeventfd",)),)) if nic.option else None,
            )
