"""Kicks are handled in the guest's processor thread: ioeventfd is off, or was not to be had.

With it a kick wakes the main loop and the guest goes on; without it the guest's processor itself takes the
frames off the ring, one burst a kick, before it executes anything else (hw/virtio/virtio-pci.c,
virtio_pci_start_ioeventfd).
"""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.diagnosis.cause import Advice, Finding
from qtrace.diagnosis.observation import Observation
from qtrace.diagnosis.quantities import at_stage, per_second, state
from qtrace.model import Direction

LOOKS_AT = "ioeventfd: whether kicks are eventfds"
THRESHOLD = (
    "Named from 100 kicks a second on: a kick that is handled in the processor's thread holds the "
    "guest up for as long as its frames take to be sent, some ten microseconds to a millisecond."
)
_LEAST = 100


def look(seen: Observation) -> Iterator[Finding]:
    for nic in seen.nics:
        notified = (nic.card().get("virtio") or {}).get("notified")
        kick = nic.stage(Direction.TX, "kick")
        if notified is not False or not nic.features() or nic.card().get("vhost") or kick is None:
            continue
        if seen.seconds <= 0 or kick["calls"] < _LEAST * seen.seconds:
            continue
        yield Finding(
            nic.title,
            "limits",
            0.65,
            "each kick is handled in the guest's processor thread: ioeventfd is off",
            [
                state("the transmit queue has no host notifier"),
                at_stage(per_second(kick["calls"], seen.seconds, "kicks"), nic, kick),
            ],
            [Advice("leave ioeventfd on, as it is by default", f"-device {nic.nic},ioeventfd=on")],
            "certain",
            "the virtqueue's state in memory",
        )
