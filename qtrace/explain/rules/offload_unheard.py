"""An offload of the NIC that the back end does not support."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.rule import Finding, Seen, Severity, Tree

SEVERITY: Severity = "note"
WORD = Tree("hw/net/virtio-net.c", "peer_has_vnet_hdr(")
_OFFLOADS = (
    *("csum", "guest_csum", "gso", "guest_tso4", "guest_tso6", "guest_ecn", "guest_ufo"),
    *("host_tso4", "host_tso6", "host_ecn", "host_ufo", "guest_uso4", "guest_uso6", "host_uso"),
)
_WITHOUT = ("user", "socket", "stream", "dgram", "l2tpv3", "vde", "passt")


def look(seen: Seen) -> Iterator[Finding]:
    for nic in seen.network.nics:
        asked = (
            [name for name in _OFFLOADS if seen.on(nic, name)] if nic.type.startswith("virtio-net") else []
        )
        if not asked or nic.peer is None or (nic.peer.kind != "port" and nic.peer.type not in _WITHOUT):
            continue
        who = f"hub {nic.peer.hub}" if nic.peer.kind == "port" else nic.peer.type
        yield Finding(
            nic.name,
            f"{', '.join(asked)}: the guest is not offered this, because {who} carries no vnet_hdr",
        )
