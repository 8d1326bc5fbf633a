"""The guest's driver has not switched its receiver on, or has no driver for the NIC.

can_receive of the NIC is false, so frames wait in QEMU's queue, and in the tap until that drops them. Of some
cards the registers are not read: there only QEMU's queue tells that none is taken.
"""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.diagnosis.cause import Advice, Evidence, Finding
from qtrace.diagnosis.observation import Nic, Observation
from qtrace.diagnosis.quantities import at_stage, counted, state
from qtrace.model import Direction
from qtrace.trace.frames.reasons import CANNOT_RECEIVE

LOOKS_AT = "whether the guest's driver receives"
THRESHOLD = (
    "Named where the receiver is off at both ends of the window and at least one frame came for it, which "
    "waits or was dropped: an interface that is down and that nobody sends to is as its owner wants it. Of a "
    "card whose registers are not read it is named where frames wait and none was delivered in the window."
)
_KNOWN = "the guest receives nothing: its driver has not switched the NIC's receiver on"
_UNREAD = "the guest receives nothing: the NIC takes no frame (its receiver is off, or the guest is stopped)"


def look(seen: Observation) -> Iterator[Finding]:
    for nic in seen.nics:
        now, before = nic.card().get("receiver"), nic.card("begin").get("receiver")
        waiting = nic.card().get("queued") or 0
        dropped = nic.moved("tx_dropped") or 0
        if now is None:
            is_off = bool(waiting) and _delivered(nic) == 0
        else:
            is_off = now.get("enabled") is False and (before or {}).get("enabled") is False
            is_off = is_off and now.get("running") is not False
        stopped = nic.stopped(Direction.RX, CANNOT_RECEIVE)
        if not is_off or not waiting + stopped + dropped:
            continue
        yield Finding(
            nic.title,
            "breaks",
            0.98,
            _UNREAD if now is None else _KNOWN,
            list(_evidence(nic, now is not None, waiting, dropped)),
            [Advice("in the guest: load the driver and bring the interface up", "ip link set eth0 up")],
            "certain" if now is not None else "likely",
            "the device's registers in memory, and frames that waited for it"
            if now is not None
            else "frames that wait; the registers of this card are not read",
        )


def _evidence(nic: Nic, known: bool, waiting: int, dropped: int) -> Iterator[Evidence]:
    if known:
        yield state("the NIC's receiver is off at both ends of the window")
    if waiting:
        yield counted(waiting, "frames in QEMU's queue for it")
    if dropped:
        yield counted(dropped, "frames dropped at the tap meanwhile")
    if not known:
        yield at_stage(counted(0, "frames delivered to it"), nic, nic.stage(Direction.RX, "deliver"))


def _delivered(nic: Nic) -> int | None:
    """Frames handed to the NIC; None where that was not measured."""
    row = nic.stage(Direction.RX, "deliver")
    return None if row is None else int(row["frames"])
