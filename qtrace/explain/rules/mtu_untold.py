"""A tap whose MTU the virtio NIC does not report to its guest."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.clients import Client
from qtrace.explain.mending import changed
from qtrace.explain.rule import Finding, Mend, Seen, Severity, Tree

SEVERITY: Severity = "note"
WORD = Tree("hw/net/virtio-net.c", '"host_mtu"')
_USUAL = 1500


def look(seen: Seen) -> Iterator[Finding]:
    for nic, other in seen.virtio_pairs():
        if other.type not in ("tap", "bridge") or "host_mtu" in nic.values:
            continue
        interface = str(
            other.values.get("br", "br0") if other.type == "bridge" else other.values.get("ifname", "")
        )
        mtu = seen.host.mtu(interface)
        if mtu is None:
            yield Finding(
                nic.name,
                f"the guest is told no MTU and takes {_USUAL}: where the tap's is another (9000 for jumbo "
                "frames), "
                "host_mtu=N tells it",
            )
        elif mtu != _USUAL:
            mend = Mend((changed(nic.option, {"host_mtu": mtu}),)) if _own(nic) and nic.option else None
            yield Finding(
                nic.name,
                f"the guest is told no MTU and takes {_USUAL}, but {interface} has {mtu}: host_mtu={mtu} "
                "tells it",
                mend,
                severity="dear" if mtu > _USUAL else "wrong",
            )


def _own(nic: Client) -> bool:
    return nic.form == "-device"
