"""One of several queues carries nearly everything, so that the others' threads and processors idle.

A flow stays on one queue, by its hash or by the processor that sends it: one flow is one queue.
"""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.diagnosis.cause import Advice, Finding
from qtrace.diagnosis.observation import Nic, Observation
from qtrace.diagnosis.quantities import per_second, share_of, state
from qtrace.diagnosis.traffic import BULK_FRAMES
from qtrace.model import Direction

LOOKS_AT = "frames by queue, where a NIC has several that serve"
THRESHOLD = (
    f"Named where a queue carries nine frames in ten, {BULK_FRAMES} and more a second, while at least "
    "one other serves: with two flows on two queues the larger one is rarely above eight in ten."
)
_SHARE = 0.9


def look(seen: Observation) -> Iterator[Finding]:
    for nic in seen.nics:
        serving = (nic.card().get("virtio") or {}).get("pairs")
        if not serving or serving < 2 or seen.seconds <= 0:
            continue
        for way in Direction:
            counts = _by_queue(nic, way)
            whole = sum(counts.values())
            if whole < BULK_FRAMES * seen.seconds:
                continue
            top = max(counts, key=lambda queue: counts[queue])
            if counts[top] < _SHARE * whole:
                continue
            yield Finding(
                nic.title,
                "limits",
                0.55,
                f"queue {top} of {serving} carries nearly all frames {way.value}: the others idle",
                [
                    share_of(counts[top], whole, f"frames {way.value} on queue {top}"),
                    per_second(whole, seen.seconds, "frames"),
                    state(f"{serving} pairs of queues serve"),
                ],
                [
                    Advice("a flow stays on one queue: several connections use several"),
                    Advice("in the guest, spread by hash", "ethtool -X eth0 equal N"),
                ],
                "likely",
                "frames by queue; how many flows there are is not seen",
            )


def _by_queue(nic: Nic, way: Direction) -> dict[int, int]:
    """Of the stage that counted most."""
    stages: dict[str, dict[int, int]] = {}
    for row in nic.rows("queues", direction=way.value):
        if row["netdev_id"] in (nic.end.get("netdev_id"), ""):
            of = stages.setdefault(row["function"], {})
            of[row["queue"]] = of.get(row["queue"], 0) + int(row["frames"])
    return max(stages.values(), key=lambda counts: sum(counts.values()), default={})
