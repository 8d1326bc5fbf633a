"""A kick or an interrupt for each frame, many a second.

Each kick leaves the guest and each interrupt enters it. Drivers and devices save them where several frames
come together; frames that come one by one save nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.diagnosis.cause import Advice, Finding
from qtrace.diagnosis.observation import Nic, Observation
from qtrace.diagnosis.quantities import at_stage, per_second, per_unit
from qtrace.model import Direction

LOOKS_AT = "kicks and interrupts for each frame"
THRESHOLD = (
    "Named from nine notices for ten frames and 1,000 of them a second on: at some ten microseconds a notice "
    "(an exit and an entry of the guest) that is a hundredth of a processor; slow traffic has one a frame by "
    "nature."
)
_EACH, _RATE = 0.9, 1000
_EVENT_IDX = 29


def look(seen: Observation) -> Iterator[Finding]:
    for nic in seen.nics:
        for way, role in ((Direction.TX, "kick"), (Direction.TX, "interrupt"), (Direction.RX, "interrupt")):
            row, frames = nic.stage(way, role), nic.frames(way)
            if row is None or seen.seconds <= 0 or nic.card().get("vhost"):
                continue
            calls = int(row["calls"])
            if calls < _RATE * seen.seconds or not frames or calls < _EACH * frames:
                continue
            yield Finding(
                nic.title,
                "limits",
                min(0.6, 0.3 + calls / seen.seconds / 1e5),
                f"{_what(way, role)} for each frame {way.value}, {calls / seen.seconds:,.0f} a second",
                [
                    at_stage(per_unit(row, "calls", frames, f"{role}s a frame {way.value}"), nic, row),
                    per_second(calls, seen.seconds, f"{role}s"),
                ],
                list(_remedies(nic)),
                "likely",
                "counts alone: how dear a notice is depends on the host",
            )
            break


def _what(way: Direction, role: str) -> str:
    return "the guest kicks" if role == "kick" else "the guest is interrupted"


def _remedies(nic: Nic) -> Iterator[Advice]:
    if nic.virtio and nic.features() is not None and not nic.has(_EVENT_IDX):
        yield Advice("leave event_idx on, as it is by default", f"-device {nic.nic},event_idx=on")
    if nic.virtio and nic.netdev == "tap" and not nic.end.get("vhost_asked"):
        yield Advice("let the kernel poll the ring", "-netdev tap,vhost=on")
    yield Advice("send fewer and larger frames, or let the guest's NIC wait", "ethtool -C eth0 rx-usecs 50")
