"""A hub stands between a virtio NIC and its back end, and ends its offloads.

A hub's port has no header before its frames (net/hub.c), so nothing is offered to the guest that needs
one, and the kernel cannot take the frames.
"""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.diagnosis.cause import Advice, Finding
from qtrace.diagnosis.observation import Observation
from qtrace.diagnosis.quantities import at_stage, per_unit, state
from qtrace.diagnosis.traffic import BULK_BYTES, BULK_FRAMES, bulk
from qtrace.model import Direction

LOOKS_AT = "hubs on the way"
THRESHOLD = (
    f"Named where a virtio NIC is on a hub and frames of {BULK_BYTES} bytes and more pass, "
    f"{BULK_FRAMES} and more a second, which large segments would save: for little traffic, or a card "
    "without offloads, a hub costs a function call."
)


def look(seen: Observation) -> Iterator[Finding]:
    for nic in seen.nics:
        if not nic.end.get("hub") or not nic.virtio:
            continue
        rows = {way: row for way in Direction if (row := bulk(seen, nic, way))}
        if not rows:
            continue
        evidence = [state("the NIC's peer is a port of a hub (-netdev hubport, -net)")]
        for way, row in rows.items():
            evidence.append(
                at_stage(per_unit(row, "bytes", row["frames"], f"bytes a frame {way.value}"), nic, row)
            )
        yield Finding(
            nic.title,
            "limits",
            0.88,
            "a hub stands between the virtio NIC and its back end: no offload passes it, and no vhost",
            evidence,
            [Advice("connect the two directly", f"-netdev {nic.netdev},id=n0,… -device {nic.nic},netdev=n0")],
            "certain",
            "the list of network clients in memory",
        )
