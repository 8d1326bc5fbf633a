"""The host gives QEMU's threads too little time: they wait for a processor."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.diagnosis.cause import Advice, Finding
from qtrace.diagnosis.observation import Observation
from qtrace.diagnosis.quantities import state
from qtrace.model import Direction

LOOKS_AT = "how long threads waited for a processor of the host"
THRESHOLD = (
    "Named where a thread that carries frames, or the guest's processor, waited for a processor for "
    "two fifths of the window or more, and at least 20 frames passed: one busy neighbour on its "
    "processor takes that, and each wait is milliseconds of delay."
)
_WAITED, _FRAMES = 0.4, 20


def look(seen: Observation) -> Iterator[Finding]:
    frames = sum(nic.frames(way) for nic in seen.nics for way in Direction)
    carrying = {tid for nic in seen.nics for tid in seen.carriers(nic)}
    short = [
        thread
        for thread in seen.threads()
        if (thread.waited or 0.0) >= _WAITED and (thread.tid in carrying or thread.name.startswith("CPU "))
    ]
    if not short or frames < _FRAMES:
        return
    processors = seen.end.get("host", {}).get("processors")
    worst = max(short, key=lambda thread: thread.waited or 0.0)
    yield Finding(
        ", ".join(nic.title for nic in seen.nics),
        "limits",
        min(0.78, worst.waited or 0.0),
        f"the host has no processor free for QEMU: {worst.name} waited {worst.waited or 0:.0%} of the time",
        [
            *(state(f"{one.name} ran {one.ran:.0%} and waited {one.waited or 0:.0%}") for one in short),
            state(f"the host has {processors} processors"),
        ],
        [
            Advice(
                "free or add processors, or pin QEMU's threads to some of their own", "taskset -cp LIST TID"
            )
        ],
        "certain",
        "the kernel's own account of the threads (schedstat)",
    )
