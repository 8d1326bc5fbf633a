"""The receive ring runs short of buffers: frames wait until the guest gives new ones.

QEMU refuses a frame that the guest has no buffers for and reads no more until the guest kicks
(hw/net/virtio-net.c, virtio_net_has_buffers).
"""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.diagnosis.cause import Advice, Finding
from qtrace.diagnosis.observation import Observation
from qtrace.diagnosis.quantities import at_stage, counted, share_of, state
from qtrace.diagnosis.traffic import refusals, stood_still
from qtrace.model import Direction

LOOKS_AT = "free receive buffers: frames that the NIC refused for want of one"
THRESHOLD = (
    "Named from three refusals in a window on that held receiving up for a twentieth of it: a guest that is "
    "sent more than it can take refuses now and then, and goes on at once; so it slows its sender down."
)
_LEAST, _SHARE = 3, 0.05
_LONGEST = 1024  # the longest receive ring that virtio-net takes


def look(seen: Observation) -> Iterator[Finding]:
    for nic in seen.nics:
        stalls, frames = refusals(nic), nic.frames(Direction.RX)
        still = stood_still(nic, Direction.RX, "deliver")
        if stalls < _LEAST or still < _SHARE * seen.seconds:
            continue
        row = nic.stage(Direction.RX, "deliver")
        evidence = [
            at_stage(counted(stalls, "times that the ring was empty"), nic, row),
            state(f"receiving stood still for {still:.2f} s of {seen.seconds:.1f} s by it"),
        ]
        if frames >= stalls:
            evidence.append(share_of(stalls, frames, "frames to the guest refused first"))
        dropped = nic.moved("tx_dropped")
        if dropped:
            evidence.append(counted(dropped, "frames dropped at the tap meanwhile"))
        size = (nic.card().get("virtio") or {}).get("rx_size")
        advice = [Advice("give the guest's processors more time: the other findings say what takes it")]
        if size is not None:
            evidence.append(state(f"the receive ring has {size} entries"))
            if size < _LONGEST:
                text = "a longer ring takes longer bursts"
                advice.insert(0, Advice(text, f"-device {nic.nic},rx_queue_size={_LONGEST}"))
        yield Finding(
            nic.title,
            "limits",
            min(0.93, 0.6 + stalls / max(frames, 1)),
            "the guest's receive ring runs empty: frames wait until it gives buffers",
            evidence,
            advice,
            "certain",
            "frames that the NIC refused and took later",
        )
