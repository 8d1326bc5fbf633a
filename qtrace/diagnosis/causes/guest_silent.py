"""A guest that takes nothing from its receive ring and does not kick.

It runs as far as QEMU knows and its driver has switched receiving on, but the ring's buffers are used up and
none comes back: its processors are held up, or its driver hangs.
"""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.diagnosis.cause import Advice, Finding
from qtrace.diagnosis.observation import Nic, Observation
from qtrace.diagnosis.quantities import at_stage, counted, counted_in, state
from qtrace.model import Direction
from qtrace.trace.frames.reasons import NO_BUFFERS

LOOKS_AT = "whether the guest gives buffers back and kicks"
THRESHOLD = (
    "Named where a frame waits at the window's end because the NIC has no receive buffers, the guest has not "
    "kicked once in the window, and QEMU counts it as running: a driver that is merely slow gives "
    "buffers, and answers, within a window."
)


def look(seen: Observation) -> Iterator[Finding]:
    for nic in seen.nics:
        free = (nic.card().get("virtio") or {}).get("rx_free")
        # Its memory tells it too where functions were not counted when the frame came.
        queued = sum(queue["near"]["queued"] for queue in nic.queues()) if free == 0 else 0
        waiting = max(nic.stopped(Direction.RX, NO_BUFFERS), queued)
        kick = nic.stage(Direction.TX, "kick")
        if not waiting or _off(nic) or (kick and kick["calls"]) or nic.frames(Direction.TX):
            continue
        evidence = [
            counted(waiting, "frames that wait in QEMU's queue, because the NIC had no receive buffers"),
        ]
        if kick is not None:
            evidence.append(at_stage(counted_in(0, nic.counted_share, "kicks in the window"), nic, kick))
        if free is not None:
            evidence.append(state(f"{free} free receive buffers at the window's end"))
        busy = [thread for thread in seen.threads() if thread.name.startswith("CPU ")]
        if busy:
            evidence.append(
                state(f"the guest's processors ran {sum(one.ran for one in busy):.1%} of the time")
            )
        yield Finding(
            nic.title,
            "breaks",
            0.97,
            "the guest takes nothing from its receive ring and does not kick: its driver or its "
            "processors hang",
            evidence,
            [
                Advice(
                    "see what the guest does: its console, and whether somebody holds QEMU's threads (ptrace)"
                )
            ],
            "likely",
            "frames and kicks that were counted; why the guest is silent is not seen from outside",
        )


def _off(nic: Nic) -> bool:
    receiver = nic.card().get("receiver") or {}
    return receiver.get("running") is False or receiver.get("enabled") is False
