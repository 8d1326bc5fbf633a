"""A thread that carries frames, or the guest's processor, is at work all the time."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.analyses.methods.stats import proportion
from qtrace.diagnosis.cause import Advice, Evidence, Finding
from qtrace.diagnosis.observation import Observation, Thread
from qtrace.diagnosis.quantities import state
from qtrace.model import Direction

LOOKS_AT = "the threads' CPU time, and in which functions it goes"
THRESHOLD = (
    "Named where a thread wants a processor for nine tenths of the window and has one for most of that, and "
    "at least 50 frames passed: a thread that waits for nothing else is what the next frame waits for."
)
_WANTED, _HAD, _FRAMES = 0.9, 0.6, 50
_SHOWN = 3


def look(seen: Observation) -> Iterator[Finding]:
    frames = sum(nic.frames(way) for nic in seen.nics for way in Direction)
    if frames < _FRAMES:
        return
    for thread in seen.threads():
        about = _carried_by(seen, thread)
        if not about or thread.wanted < _WANTED or thread.ran < _HAD * thread.wanted:
            continue
        guest = thread.name.startswith("CPU ")
        yield Finding(
            about,
            "limits",
            0.5 if guest else 0.62,
            f"{_who(thread)} is at work all the time: the network is no faster than it",
            list(_evidence(seen, thread)),
            list(_remedies(seen, guest)),
            "likely",
            "its CPU time; that the traffic waits for it is an inference",
        )


def _carried_by(seen: Observation, thread: Thread) -> str:
    """The NICs whose frames it carries; for a guest's processor all. Empty for threads of other work."""
    if thread.name.startswith("CPU "):
        return ", ".join(nic.title for nic in seen.nics)
    return ", ".join(nic.title for nic in seen.nics if seen.carriers(nic).get(thread.tid))


def _who(thread: Thread) -> str:
    if thread.name.startswith("CPU "):
        return f"the guest's processor ({thread.name})"
    if thread.name.startswith("vhost-"):
        return f"the kernel's vhost worker ({thread.name})"
    return f"QEMU's thread {thread.name} ({thread.tid})"


def _evidence(seen: Observation, thread: Thread) -> Iterator[Evidence]:
    waited = "" if thread.waited is None else f", waited for a processor {thread.waited:.0%}"
    yield state(f"it ran {thread.ran:.0%} of the window{waited}")
    functions, whole = seen.functions(thread.tid)
    for function, file, samples in functions[:_SHOWN]:
        found = proportion(samples, whole)
        where = f" ({file})" if file else ""
        text = f"{found.mean:.0%} of its time in {function}{where} ({found.low:.0%} to {found.high:.0%})"
        yield Evidence(text, found.mean, found.low, found.high, "", function, file)


def _remedies(seen: Observation, guest: bool) -> Iterator[Advice]:
    if guest:
        yield Advice(
            "give the guest more or faster processors (-smp, -accel kvm), or see what it does in there"
        )
        return
    if any(nic.netdev == "tap" and nic.virtio and not nic.card().get("vhost") for nic in seen.nics):
        yield Advice("let the kernel carry the frames", "-netdev tap,vhost=on")
        yield Advice("or spread them over queues", "-netdev tap,queues=N -device virtio-net-pci,mq=on")
    else:
        yield Advice("use a virtio NIC on a tap, whose frames the kernel can carry (vhost=on)")
