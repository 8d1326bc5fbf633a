"""The back end has no room: frames from the guest wait in QEMU's queue until the host's side takes them.

A socket whose far end does not read, or a tap whose sndbuf is used up, makes the back end refuse a frame
(net/stream.c, net_stream_writable; net/tap.c, tap_writable).
"""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.diagnosis.cause import Advice, Finding
from qtrace.diagnosis.observation import Nic, Observation
from qtrace.diagnosis.quantities import at_stage, counted, share_of
from qtrace.diagnosis.traffic import waited
from qtrace.model import Direction
from qtrace.trace.frames.reasons import BEHIND_ANOTHER, NO_ROOM

LOOKS_AT = "QEMU's queues: frames from the guest that wait for the host's side"
THRESHOLD = (
    "Named where a frame waits at the window's end because the back end had no room, or one frame in twenty "
    "waited and at least 20: a socket's buffer that is full now and then is how the two ends keep pace."
)
_SHARE, _LEAST = 0.05, 20


def look(seen: Observation) -> Iterator[Finding]:
    for nic in seen.nics:
        now = nic.stopped(Direction.TX, NO_ROOM, BEHIND_ANOTHER)
        queued = max((side["queued"] for side in _back_ends(nic)), default=0)
        went = waited(nic, Direction.TX)
        frames = max(nic.frames(Direction.TX), went)
        stuck = bool(queued and now)
        if not stuck and went < max(_LEAST, _SHARE * frames):
            continue
        row = nic.stage(Direction.TX, "deliver") or nic.stage(Direction.TX, "send")
        evidence = []
        if queued or now:
            evidence.append(
                at_stage(counted(max(queued, now), "frames that wait at the window's end"), nic, row)
            )
        if went:
            evidence.append(share_of(went, frames, "frames from the guest waited first"))
        yield Finding(
            nic.title,
            "breaks" if stuck else "limits",
            0.96 if stuck else min(0.9, 0.5 + went / frames),
            "the host's side does not take the guest's frames as fast as they come: they wait in "
            "QEMU's queue",
            evidence,
            [Advice(_remedy(nic))],
            "certain",
            "QEMU's queue in memory and frames that waited in it",
        )


def _back_ends(nic: Nic) -> list[dict[str, int]]:
    return [queue["far"] for queue in nic.queues()]


def _remedy(nic: Nic) -> str:
    if nic.netdev in ("tap", "bridge"):
        return "leave sndbuf= out, and see what the tap's frames wait for (qdisc, bridge, its far end)"
    return "see what the program at the other end of the socket does: it does not read"
