"""Frames to the guest are dropped at its tap: the kernel's queue of the tap is full.

QEMU reads a tap when it gets to it and the NIC has room; what comes meanwhile waits in the kernel, as many
frames as the interface's txqueuelen says, and the rest is dropped (drivers/net/tun.c, tun_net_xmit).
"""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.diagnosis.cause import Advice, Finding
from qtrace.diagnosis.observation import Observation
from qtrace.diagnosis.quantities import share_of, state
from qtrace.diagnosis.traffic import refusals

LOOKS_AT = "drops at the tap, and its queue's length"
THRESHOLD = (
    "Named from one frame in a hundred and ten frames on: TCP halves its rate at every loss, so that "
    "a hundredth is what makes it crawl; a handful are a burst's."
)
_SHARE, _LEAST = 0.01, 10
_USUAL = 1000  # the kernel's own default


def look(seen: Observation) -> Iterator[Finding]:
    for nic in seen.nics:
        dropped, passed = nic.moved("tx_dropped"), nic.moved("tx_packets")
        if dropped is None or passed is None or dropped < max(_LEAST, _SHARE * (dropped + passed)):
            continue
        tap = nic.tap()
        name, length = tap.get("name", "the tap"), tap.get("queue_length")
        evidence = [share_of(dropped, dropped + passed, f"frames to the guest dropped at {name}")]
        advice = []
        if length is not None:
            evidence.append(state(f"txqueuelen of {name} is {length:,}"))
            if length < _USUAL:
                advice.append(Advice("on the host", f"ip link set dev {name} txqueuelen {_USUAL}"))
        size = (nic.card().get("virtio") or {}).get("rx_size")
        if size is not None and size < 1024:
            text = f"give the NIC a longer receive ring than its {size}"
            advice.append(Advice(text, f"-device {nic.nic},rx_queue_size=1024"))
        if not nic.end.get("vhost_asked") and nic.virtio:
            advice.append(Advice("or let the kernel carry the frames", "-netdev tap,vhost=on"))
        yield Finding(
            nic.title,
            "limits",
            0.5 if refusals(nic) else min(0.94, 0.5 + dropped / (dropped + passed)),
            f"frames to the guest are dropped at {name}: QEMU does not read them as fast as they come",
            evidence,
            advice or [Advice("find out what holds QEMU up: the other findings")],
            "certain",
            "the kernel's own counter of the tap",
        )
