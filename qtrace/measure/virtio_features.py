"""The virtio features that a guest's driver and its NIC agreed on, in words: a run records them, because
speed depends on them."""

from __future__ import annotations

from collections.abc import Iterable

from qtrace.trace.qemu.owners import Owner

__all__ = ["negotiated"]

# Feature bits of a virtio network device and of all devices (Virtual I/O Device specification 1.2, 5.1.3 and
# 6).
_FEATURES = {
    0: "CSUM",
    1: "GUEST_CSUM",
    2: "CTRL_GUEST_OFFLOADS",
    3: "MTU",
    5: "MAC",
    7: "GUEST_TSO4",
    8: "GUEST_TSO6",
    9: "GUEST_ECN",
    10: "GUEST_UFO",
    11: "HOST_TSO4",
    12: "HOST_TSO6",
    13: "HOST_ECN",
    14: "HOST_UFO",
    15: "MRG_RXBUF",
    16: "STATUS",
    17: "CTRL_VQ",
    18: "CTRL_RX",
    19: "CTRL_VLAN",
    20: "CTRL_RX_EXTRA",
    21: "GUEST_ANNOUNCE",
    22: "MQ",
    23: "CTRL_MAC_ADDR",
    24: "NOTIFY_ON_EMPTY",
    27: "ANY_LAYOUT",
    28: "INDIRECT_DESC",
    29: "EVENT_IDX",
    32: "VERSION_1",
    33: "IOMMU_PLATFORM",
    34: "RING_PACKED",
    35: "IN_ORDER",
    38: "NOTIFICATION_DATA",
    40: "RING_RESET",
    54: "GUEST_USO4",
    55: "GUEST_USO6",
    56: "HOST_USO",
    57: "HASH_REPORT",
    60: "RSS",
}
_NO_DRIVER = "none yet: no driver has accepted any"


def negotiated(owners: Iterable[Owner]) -> dict[str, str]:
    """Name of a condition -> its value, for each NIC."""
    found: dict[str, str] = {}
    queues: dict[str, int] = {}
    for owner in owners:
        name = f"{owner.card} on {owner.netdev}" if owner.card else ""
        if not name:
            continue
        queues[name] = queues.get(name, 0) + 1
        nic = owner.clients[0]
        parts = [f"{owner.nic} on {owner.driver}"]
        if nic.features is not None:
            parts.append(f"features {_words(nic.features) or _NO_DRIVER}")
            parts.append(f"receive offloads {_words(nic.offloads or 0) or 'none'}")
            parts.append(f"MTU {nic.mtu}" if nic.mtu else "no MTU of its own")
        header = max(client.header_bytes for client in owner.clients)
        parts.append(f"{header} bytes of header before each frame at the back end" if header else "no header")
        if nic.link_down:
            parts.append("link down")
        found.setdefault(name, "; ".join(parts))
    return {name: f"{text}; {queues[name]} queue{'s' * (queues[name] > 1)}" for name, text in found.items()}


def _words(features: int) -> str:
    return " ".join(_FEATURES.get(bit, f"bit{bit}") for bit in range(64) if features >> bit & 1)
