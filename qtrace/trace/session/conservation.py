"""Laws of conservation between the stages of one direction, which hold for any traffic.

A stage that counts nothing although frames have passed around it was passed by a way that is not probed, or
could not be seen: its zero is no count. Nor is it where a way is known that is not probed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qtrace.model import Role

__all__ = ["NOT_SEEN", "broken_laws", "unprobed_ways"]

NOT_SEEN = "not seen here"
_KERNEL = ("kprobe", "kretprobe")
_FEW = 2  # frames: one may have been announced before the window
# Stage -> the stages that cannot be passed without it, and the reason.
_LAWS: Mapping[tuple[str, Role], tuple[tuple[Role, ...], str]] = {
    ("tx", Role.KICK): ((Role.SEND,), "frames were sent without one kick"),
    ("tx", Role.DEQUEUE): ((Role.SEND, Role.COMPLETE), "frames were sent, and none was taken from the ring"),
    ("tx", Role.SEND): ((Role.DELIVER, Role.HOST), "frames left QEMU, and none was sent"),
    ("tx", Role.DELIVER): ((Role.HOST,), "frames left QEMU, and none was delivered"),
    ("rx", Role.SEND): ((Role.DELIVER, Role.ENQUEUE), "frames reached the NIC, and none was sent to it"),
    ("rx", Role.DELIVER): ((Role.ENQUEUE,), "the guest received frames, and none was delivered"),
    ("rx", Role.ENQUEUE): ((Role.INTERRUPT,), "the guest was notified of frames, and none was received"),
    ("rx", Role.INTERRUPT): ((Role.ENQUEUE,), "the guest received frames, and was not notified"),
}


def broken_laws(rows: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Number of a row of the table `stages` -> the law that its zero breaks.

    Stages in the kernel are compared with stages in the kernel, QEMU's with QEMU's.
    """
    found: dict[int, str] = {}
    for number, row in enumerate(rows):
        law = _LAWS.get((row["direction"], row["stage"])) if row["stage"] else None
        if law is None or not row["attached"] or row["calls"]:
            continue
        after, why = law
        kin = [other for other in rows if _kin(row, other)]
        passed = max((_passed(other) for other in kin if other["stage"] in after), default=0)
        # Both directions may share a pin or a vector: an interrupt may then be counted for the other one.
        mine = rows if row["stage"] == Role.INTERRUPT else kin
        seen = any(other["calls"] for other in mine if other["stage"] == row["stage"])
        if passed >= _FEW and not seen:
            found[number] = f"{NOT_SEEN}: {why} ({passed:,} passed)"
    return found


def unprobed_ways(rows: Sequence[Mapping[str, Any]], unprobed: Mapping[int, Sequence[str]]) -> dict[int, str]:
    """The same for a zero that breaks no law, while frames of its direction have passed elsewhere.

    `unprobed`: number of a row -> the functions by which its stage is passed too, and which have no probe.
    """
    found: dict[int, str] = {}
    for number, functions in unprobed.items():
        row = rows[number]
        mine = [other for other in rows if other["stage"] == row["stage"]]
        if row["stage"] != Role.INTERRUPT:
            mine = [other for other in mine if _kin(row, other)]
        if not row["attached"] or any(other["calls"] for other in mine):
            continue
        passed = max((_passed(other) for other in rows if _kin(row, other)), default=0)
        if passed >= _FEW:
            why = f"{', '.join(functions)} may have been called instead, without a probe"
            found[number] = f"{NOT_SEEN}: {why} ({passed:,} passed elsewhere)"
    return found


def _kin(row: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    kernel = (row["how"] in _KERNEL, other["how"] in _KERNEL)
    return bool(row["direction"] == other["direction"] and kernel[0] == kernel[1] and other["attached"])


def _passed(row: Mapping[str, Any]) -> int:
    return int(row["frames"] or row["calls"])
