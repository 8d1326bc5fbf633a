"""Frames of one segment each, where large ones could be.

Everything for segmentation offload is agreed on, and still a stream of full frames crosses QEMU segment by
segment: its sender does not join them (offload switched off in the guest's own stack or at the tap, or
traffic that is no TCP).
"""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.diagnosis.cause import Advice, Finding
from qtrace.diagnosis.observation import FULL, Observation
from qtrace.diagnosis.quantities import at_stage, per_second, per_unit, state
from qtrace.diagnosis.traffic import BULK_BYTES, BULK_FRAMES, bulk, mean_bytes, missing_offload
from qtrace.model import Direction

LOOKS_AT = "bytes a frame, where large segments are agreed on"
THRESHOLD = (
    f"Named where frames of {BULK_BYTES} bytes and more pass, {BULK_FRAMES} and more a second, and "
    "the mean frame is no larger than one full frame of the tap's MTU with its header: a stream that "
    "is segmented late has frames of two segments at least."
)
_HEADER = 32  # virtio's header before each frame, a VLAN's tag, and what rounding leaves
_USUAL = 1500


def look(seen: Observation) -> Iterator[Finding]:
    for nic in seen.nics:
        tap = nic.tap()
        if not nic.virtio or tap.get("header") is not True or nic.features() is None:
            continue
        full = (tap.get("mtu") or _USUAL) + FULL - _USUAL + _HEADER
        for way in Direction:
            row = bulk(seen, nic, way)
            if row is None or missing_offload(nic, way) or mean_bytes(row) > full:
                continue
            cut = tap.get("cut_at") if way is Direction.RX else None
            known = cut is not None and cut <= 2 * full
            evidence = [
                at_stage(per_unit(row, "bytes", row["frames"], f"bytes a frame {way.value}"), nic, row),
                per_second(row["frames"], seen.seconds, "frames"),
            ]
            if known:
                evidence.append(state(f"{tap['name']} takes segments of {cut:,} bytes at most (gso_max)"))
            yield Finding(
                nic.title,
                "limits",
                0.7,
                f"{_who(way)} one segment a frame, where segments of up to 64 kB are agreed on",
                evidence,
                list(_remedies(str(tap["name"]), way)),
                "certain" if known else "possible",
                "the tap's own limit" if known else "traffic that is no TCP looks the same",
            )


def _who(way: Direction) -> str:
    return "the guest sends" if way is Direction.TX else "the host sends the guest"


def _remedies(tap: str, way: Direction) -> Iterator[Advice]:
    if way is Direction.TX:
        yield Advice("in the guest, for its interface", "ethtool -K eth0 tso on gso on")
        return
    yield Advice("on the host", f"ip link set dev {tap} gso_max_size 65536 gso_max_segs 65535")
    yield Advice("and for what is forwarded to the tap", f"ethtool -K {tap} tso on gso on")
