"""Segmentation offload was not agreed on, though the tap could carry large segments.

Segments are cut late only where checksums are filled in late too, so that csum is asked first. The device
offers both where its back end has a header for them (virtio_net_get_features), and the command line may take
them from the offer (csum=off, host_tso4=off, guest_tso4=off …); the guest's driver accepts them or not, and
may switch its own receiving of large segments off later (VIRTIO_NET_CTRL_GUEST_OFFLOADS).
"""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.diagnosis.cause import Advice, Finding
from qtrace.diagnosis.observation import Nic, Observation
from qtrace.diagnosis.quantities import at_stage, per_second, per_unit, state
from qtrace.diagnosis.traffic import BULK_BYTES, BULK_FRAMES, bulk, missing_offload
from qtrace.model import Direction

LOOKS_AT = "the features that a virtio device offers and its driver has accepted"
THRESHOLD = (
    f"Named where TCP segmentation (over IPv4) is missing one way and frames of {BULK_BYTES} bytes "
    f"and more pass that way, {BULK_FRAMES} and more a second: with less traffic it costs nothing "
    "that could be noticed."
)
_NAMES = {Direction.TX: ("csum", "host_tso4"), Direction.RX: ("guest_csum", "guest_tso4")}


def look(seen: Observation) -> Iterator[Finding]:
    for nic in seen.nics:
        if not nic.virtio or nic.tap().get("header") is not True or nic.features() is None:
            continue
        if nic.end.get("hub"):  # which ends every offload: that is the hub's finding
            continue
        for way in Direction:
            missing, row = missing_offload(nic, way), bulk(seen, nic, way)
            if missing is None or row is None:
                continue
            name, who = _NAMES[way][missing.rank], _WHO[missing.who]
            yield Finding(
                nic.title,
                "limits",
                0.85,
                f"segmentation offload is missing, because {name} {who}: each segment {_where(way)} "
                "crosses QEMU as a frame of its own",
                [
                    state(f"feature bit {missing.bit} ({name}) {who}"),
                    at_stage(per_unit(row, "bytes", row["frames"], f"bytes a frame {way.value}"), nic, row),
                    per_second(row["frames"], seen.seconds, "frames"),
                ],
                [_remedy(nic, way, name, missing.who)],
                "certain",
                "the features in the device's memory",
            )


_WHO = {
    "": "was not agreed on",
    "device": "is not offered by the device",
    "driver": "was offered and not accepted by the guest's driver",
    "off": "was switched off by the guest's driver",
}


def _where(way: Direction) -> str:
    return "from the guest" if way is Direction.TX else "to the guest"


def _remedy(nic: Nic, way: Direction, name: str, who: str) -> Advice:
    if who == "device":
        return Advice("leave it on the command line as it is by default", f"-device {nic.nic},{name}=on")
    what = "tx on tso on gso on" if way is Direction.TX else "rx on gro-hw on"
    return Advice("in the guest, for its interface", f"ethtool -K eth0 {what}")
