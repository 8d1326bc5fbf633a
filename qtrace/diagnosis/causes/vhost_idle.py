"""vhost=on was asked for, and QEMU carries the frames all the same.

The kernel takes a NIC's frames only for a virtio NIC whose driver runs (hw/net/virtio-net.c,
virtio_net_vhost_status), so another card, a hub or a driver that has not come up leaves QEMU on the way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from qtrace.diagnosis.cause import Advice, Finding
from qtrace.diagnosis.observation import Nic, Observation
from qtrace.diagnosis.quantities import at_stage, measured, state
from qtrace.model import Direction

LOOKS_AT = "vhost: asked for on the line, started in the device, and who carried the frames"
THRESHOLD = (
    "Named where vhost is on the line and not started at the window's end: always for a card that is no "
    "virtio NIC, or behind a hub, which never starts it; else with the first frame that QEMU itself carries, "
    "because with vhost it carries none."
)


def look(seen: Observation) -> Iterator[Finding]:
    for nic in seen.nics:
        if not nic.end.get("vhost_asked") or nic.card().get("vhost"):
            continue
        carried = {way: row for way in Direction if (row := _in_qemu(nic, way))}
        never = not nic.virtio or bool(nic.end.get("hub"))
        if not carried and not never:
            continue
        evidence = [state("vhost is on the command line, and the device has not started it")]
        for way, row in carried.items():
            evidence.append(at_stage(measured(row, "frames", f"frames {way.value} in QEMU"), nic, row))
        yield Finding(
            nic.title,
            "limits",
            0.95,
            f"vhost=on has no effect, QEMU itself carries the frames: {_why(nic)}",
            evidence,
            [Advice(_remedy(nic))],
            "certain",
            "the device's state in memory",
        )


def _in_qemu(nic: Nic, way: Direction) -> Mapping[str, Any] | None:
    rows = [
        row
        for row in nic.rows("stages", direction=way.value)
        if row["attached"] and row["how"] in ("uprobe", "uretprobe") and row["frames"]
    ]
    return max(rows, key=lambda row: int(row["frames"]), default=None)


def _why(nic: Nic) -> str:
    if nic.end.get("hub"):
        return "a hub stands between the NIC and its tap"
    if not nic.virtio:
        return f"{nic.nic} is no virtio NIC, whose frames alone the kernel takes"
    return "the guest's driver has not started it"


def _remedy(nic: Nic) -> str:
    if nic.end.get("hub"):
        return "connect the NIC with netdev= instead of through a hub"
    if not nic.virtio:
        return "use -device virtio-net-pci, or leave vhost=on out"
    return "see whether the guest's virtio driver runs with MSI-X (vectors=)"
