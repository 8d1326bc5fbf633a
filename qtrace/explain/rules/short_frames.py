"""A NIC that gets frames shorter than Ethernet's 60 bytes, which its guest's driver refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from qtrace.explain.clients import Client
from qtrace.explain.rule import Finding, Seen, Severity, Tree

SEVERITY: Severity = "wrong"
WORD = Tree("include/net/eth.h", "bool eth_pad_short_frame(")
# Cards whose drivers refuse such a frame (Linux: pcnet32.c, 8390's lib8390.c), each with its receiver. Until
# QEMU 7.2 the receivers filled it up themselves.
_RECEIVERS = {
    "pcnet": ("hw/net/pcnet.c", "pcnet_receive"),
    "lance": ("hw/net/pcnet.c", "pcnet_receive"),
    "ne2k_pci": ("hw/net/ne2000.c", "ne2000_receive"),
    "ne2k_isa": ("hw/net/ne2000.c", "ne2000_receive"),
}
_FILES = {"user": "net/slirp.c", "bridge": "net/tap.c"}
_FILLS = "eth_pad_short_frame("


def look(seen: Seen) -> Iterator[Finding]:
    for nic in seen.network.nics:
        if nic.type not in _RECEIVERS or _receiver_fills(seen, *_RECEIVERS[nic.type]):
            continue
        short = sorted({other.type for other in _others(seen, nic) if _passes_short(seen, other.type)})
        if short:
            yield Finding(
                nic.name,
                f"a {nic.type} refuses frames shorter than 60 bytes (its driver counts them as errors), this "
                f"release of QEMU does not fill them up for {' and '.join(short)}, and an ARP answer is one: "
                "the guest may reach nobody; use another NIC, such as virtio-net-pci",
            )


def _others(seen: Seen, nic: Client) -> Iterator[Client]:
    """The back ends that send to the NIC: its own, or all of its hub."""
    if nic.peer is None:
        return
    if nic.peer.kind == "netdev":
        yield nic.peer
        return
    for client in seen.network.netdevs:
        if client.peer is not None and client.peer.kind == "port" and client.peer.hub == nic.peer.hub:
            yield client


def _receiver_fills(seen: Seen, file: str, function: str) -> bool:
    body = re.search(rf"^\w[^;{{}}]*\b{function}\([^;{{}}]*\)\n\{{\n.*?^\}}", seen.source(file), re.M | re.S)
    return body is None or "memset(" in body[0]


def _passes_short(seen: Seen, netdev: str) -> bool:
    text = seen.source(_FILES.get(netdev, f"net/{netdev}.c"))
    return bool(text) and _FILLS not in text
