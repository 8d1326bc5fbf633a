"""A NIC that tells its guest a larger MTU than its tap has."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.mending import changed
from qtrace.explain.rule import Finding, Mend, Seen, Severity, Tree

SEVERITY: Severity = "wrong"
WORD = Tree("hw/net/virtio-net.c", '"host_mtu"')


def look(seen: Seen) -> Iterator[Finding]:
    for nic, other in seen.virtio_pairs():
        told, interface = seen.number(nic, "host_mtu"), str(other.values.get("ifname", ""))
        mtu = seen.host.mtu(interface)
        if other.type == "tap" and told and mtu is not None and told > mtu:
            yield Finding(
                nic.name,
                f"host_mtu={told} tells the guest more than {interface} has ({mtu}): its larger frames "
                "are lost",
                Mend((changed(nic.option, {"host_mtu": mtu}),)) if nic.option else None,
            )
