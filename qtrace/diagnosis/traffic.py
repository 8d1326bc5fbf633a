"""What kind of traffic a window saw: thresholds that several causes share, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qtrace.diagnosis.observation import Nic, Observation
from qtrace.model import Direction
from qtrace.trace.frames.reasons import NO_BUFFERS

__all__ = [
    "BULK_BYTES",
    "BULK_FRAMES",
    "Missing",
    "bulk",
    "frames_a_second",
    "mean_bytes",
    "missing_offload",
    "refusals",
    "stood_still",
    "waited",
]

# Bytes a frame from where on frames are full ones: a stream of data, and no question and answer.
BULK_BYTES = 1000
# Frames a second from where on offloads pay: below, segmenting takes less than a hundredth of a processor
# (some microseconds a frame, docs/overhead.md).
BULK_FRAMES = 200

# Feature bits that segmentation rests on: the checksum's, then TCP segmentation over IPv4 (Virtual I/O Device
# specification 1.2, 5.1.3: CSUM, HOST_TSO4; GUEST_CSUM, GUEST_TSO4).
_OFFLOADS = {Direction.TX: (0, 11), Direction.RX: (1, 7)}


@dataclass(frozen=True, slots=True)
class Missing:
    """A feature that is not in use: its bit, its `rank` in the order in which they rest on each other, and by
    `who` it is missing: `device`, `driver`, `off` (switched off later), or empty where that is not known."""

    bit: int
    rank: int
    who: str


def missing_offload(nic: Nic, way: Direction) -> Missing | None:
    """What keeps a virtio NIC's TCP from being segmented late, None where nothing does. It has a driver."""
    for rank, bit in enumerate(_OFFLOADS[way]):
        if not nic.has(bit):
            offered = nic.offered(bit)
            return Missing(bit, rank, "" if offered is None else "driver" if offered else "device")
    offloads, last = nic.card().get("offloads"), _OFFLOADS[way][-1]
    off = way is Direction.RX and offloads is not None and not offloads >> last & 1
    return Missing(last, 1, "off") if off else None


def mean_bytes(row: Mapping[str, Any] | None) -> float:
    """Bytes a frame at a stage; 0 where none passed."""
    return row["bytes"] / row["frames"] if row and row["frames"] else 0.0


def frames_a_second(seen: Observation, nic: Nic, way: Direction) -> float:
    """0 where the window's length is not known."""
    return nic.frames(way) / seen.seconds if seen.seconds > 0 else 0.0


def bulk(seen: Observation, nic: Nic, way: Direction) -> Mapping[str, Any] | None:
    """The row that counted this way's frames where they are a stream of full frames; else None."""
    row = nic.carried(way)
    full = mean_bytes(row) >= BULK_BYTES
    return row if full and frames_a_second(seen, nic, way) >= BULK_FRAMES else None


def waited(nic: Nic, way: Direction, *stages: str) -> int:
    """Frames that waited at one of these stages in the window and went on."""
    rows = nic.rows("waits", direction=way.value)
    return sum(int(row["count"]) for row in rows if not stages or row["from_stage"] in stages)


def stood_still(nic: Nic, way: Direction, *stages: str) -> float:
    """Seconds that these frames waited, added up; each is taken from the middle of its bucket."""
    rows = nic.rows("waits", direction=way.value)
    times = (2 ** (row["bucket"] + 0.5) * row["count"] for row in rows if row["from_stage"] in stages)
    return float(sum(times)) / 1e9


def refusals(nic: Nic) -> int:
    """How often a NIC that refuses what it has no buffers for did so: each is a stall of its receiver."""
    if not (nic.card().get("receiver") or {}).get("refuses"):
        return 0
    now = nic.stopped(Direction.RX, NO_BUFFERS)
    return waited(nic, Direction.RX, "deliver") + now
