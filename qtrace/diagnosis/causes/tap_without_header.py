"""A virtio NIC on a tap that was opened without vnet_hdr.

The kernel can then hand over no checksum to be filled in and no segment larger than a frame, so the device
offers the guest neither (net/tap.c, tap_has_vnet_hdr; hw/net/virtio-net.c, virtio_net_get_features): every
segment of TCP crosses QEMU by itself, in both directions.
"""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.diagnosis.cause import Advice, Finding
from qtrace.diagnosis.observation import Observation
from qtrace.diagnosis.quantities import at_stage, per_unit, state
from qtrace.model import Direction

LOOKS_AT = "the tap's flags: whether it was opened with vnet_hdr"
THRESHOLD = (
    "A state, named whenever a virtio NIC stands on such a tap: from the first frame on nothing can be "
    "offloaded. Cards that send no header (e1000 and the like) lose nothing by it and are not named."
)


def look(seen: Observation) -> Iterator[Finding]:
    for nic in seen.nics:
        tap = nic.tap()
        if not nic.virtio or tap.get("header") is not False:
            continue
        evidence = [state(f"the descriptor of {tap['name']} has no IFF_VNET_HDR")]
        for way in Direction:
            row = nic.carried(way)
            if row and row["frames"]:
                text = f"bytes a frame {way.value}"
                evidence.append(at_stage(per_unit(row, "bytes", row["frames"], text), nic, row))
        yield Finding(
            nic.title,
            "limits",
            0.9,
            f"the tap {tap['name']} was opened without vnet_hdr, so the guest may use no checksum or "
            "segmentation offload: each segment crosses QEMU as a frame of its own",
            evidence,
            [
                Advice("open the tap with IFF_VNET_HDR, or let QEMU open it (it asks for the header)"),
                Advice("", f"ip tuntap add dev {tap['name']} mode tap vnet_hdr"),
            ],
            "certain",
            "the kernel's own flags of the tap",
        )
