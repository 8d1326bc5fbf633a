"""The guest is stopped: its processors run nothing until somebody lets it go on."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.diagnosis.cause import Advice, Finding
from qtrace.diagnosis.observation import Observation
from qtrace.diagnosis.quantities import counted, state
from qtrace.model import Direction
from qtrace.trace.frames.reasons import GUEST_STOPPED

LOOKS_AT = "whether the guest runs"
THRESHOLD = "A state at the window's end, named whenever a virtio NIC says that its guest does not run."


def look(seen: Observation) -> Iterator[Finding]:
    for nic in seen.nics:
        if (nic.card().get("receiver") or {}).get("running") is not False:
            continue
        evidence = [state("the device's vm_running is false at the window's end")]
        if waiting := nic.stopped(Direction.RX, GUEST_STOPPED):
            evidence.append(counted(waiting, "frames that wait in QEMU's queue for it"))
        yield Finding(
            nic.title,
            "breaks",
            0.99,
            "the guest is stopped, so its network stands still",
            evidence,
            [Advice("at QEMU's monitor (QMP)", '{"execute": "cont"}')],
            "certain",
            "the device's own state in memory",
        )
