"""The kernel's vhost asks QEMU for translations all the time: the guest's driver uses a virtual IOMMU.

Where the guest maps each buffer and unmaps it again, vhost's own translations (drivers/vhost/vhost.c,
vhost_iotlb_miss) are thrown away as fast as they are made, and each further one is a question to QEMU's main
thread (vhost_device_iotlb_miss in hw/virtio/vhost.c), while its queue stands still.
"""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.diagnosis.cause import Advice, Finding
from qtrace.diagnosis.observation import Observation
from qtrace.diagnosis.quantities import counted, counted_in, per_second, state

LOOKS_AT = "addresses that vhost had QEMU translate, and frames at its tap"
_LEAST, _SHARE = 100, 0.5
THRESHOLD = (
    f"Named from {_LEAST} misses and one for two frames at the tap on: a driver that maps each buffer anew "
    "has about one a frame. Where the guest's IOMMU lets the device through there is one for each page that "
    "is used for the first time."
)
_IOMMU_PLATFORM = 33


def look(seen: Observation) -> Iterator[Finding]:
    for nic in seen.nics:
        rows = [row for row in nic.rows("iotlb_misses") if row["attached"]]
        misses, share = sum(int(row["count"]) for row in rows), nic.counted_share
        # The tap itself counts each frame once, and all the time.
        frames = sum(nic.moved(f"{way}_packets") or 0 for way in ("rx", "tx"))
        if misses < _LEAST or misses < _SHARE * share * frames:
            continue
        where = f"{rows[0]['function']}, {rows[0]['file']}:{rows[0]['line']}"
        evidence = [
            per_second(misses, share * seen.seconds, "misses"),
            counted_in(misses, share, "misses"),
            counted(frames, "frames at the tap, both ways"),
            state(f"counted at {where}"),
        ]
        if nic.has(_IOMMU_PLATFORM):
            evidence.append(state(f"feature bit {_IOMMU_PLATFORM} (iommu_platform) is agreed on"))
        yield Finding(
            nic.title,
            "limits",
            min(0.95, 0.5 + 0.5 * misses / max(share * frames, misses)),
            "vhost has QEMU translate addresses all the time, because the guest's driver maps its buffers by "
            "a virtual IOMMU: the queue stands still for each",
            evidence,
            [
                Advice("let the guest's IOMMU pass its devices: a word for the guest's kernel", "iommu=pt"),
                Advice("where no program in the guest is given the device, leave iommu_platform=on out"),
            ],
            "certain",
            "counted where QEMU answers",
        )
