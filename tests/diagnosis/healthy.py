"""Guests with nothing wrong, over NICs and back ends, and what passes between them and the host meanwhile."""

from __future__ import annotations

from bed import Bed, Form
from passing import chat, stream

from qtrace.model import Direction

__all__ = ["HEALTHY", "SECONDS", "talk"]

SECONDS = 5.0
HEALTHY = (
    Form(),
    Form("virtio-net-pci-non-transitional"),
    Form("virtio-net-pci,mq=on,vectors=6", queues=2),
    Form("virtio-net-pci,rx_queue_size=1024,tx_queue_size=256"),
    Form("virtio-net-pci,packed=on"),
    Form("e1000"),
    Form("e1000e"),
    Form("rtl8139"),
    Form("vmxnet3"),
    Form("pcnet"),
    Form(netdev="user"),
    Form("e1000", "user"),
    Form(netdev="dgram"),
    Form("e1000", "dgram"),
    Form(netdev="stream"),
    Form("rtl8139", "stream"),
    Form(netdev="socket"),
    Form(netdev="l2tpv3"),
    Form("e1000", header=False),
    Form("e1000", hub=True),
    Form(netdev="vde"),
)


def talk(bed: Bed) -> None:
    """Questions and answers, then a slow stream each way."""
    chat(bed, 15)
    for way in Direction:
        stream(bed, way, 1, rate="2M")
