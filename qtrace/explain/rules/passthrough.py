"""A device of the host that is passed through to the guest, past QEMU's network."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.rule import Finding, Seen, Severity, Tree

SEVERITY: Severity = "note"
WORD = Tree("hw/vfio/pci.c", "vfio_realize(")


def look(seen: Seen) -> Iterator[Finding]:
    for opts in seen.network.others:
        driver = opts.get("driver") or ""
        if driver.startswith("vfio-"):
            yield Finding(
                opts.id or driver,
                f"{driver} hands a device of the host to the guest: if that is a NIC, its frames never pass "
                "QEMU's network",
            )
