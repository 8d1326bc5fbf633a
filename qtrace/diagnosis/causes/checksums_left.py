"""The guest leaves checksums to be filled in, and a program reads its frames raw, where nobody has done so.

With csum agreed on (VIRTIO_NET_F_CSUM), a segment of TCP or UDP leaves the guest with a sum of its
pseudo-header alone; the tap's header tells the kernel to finish it, which the kernel does when a frame leaves
by a device that cannot. A packet socket is given the frame before that (linux/if_packet.h,
TP_STATUS_CSUMNOTREADY): a program that passes such frames on, as a bridge in user space does, passes on
segments that every receiver drops, while ping and ARP go through. One that only looks shows wrong sums that
are none.
"""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.diagnosis.cause import Advice, Finding
from qtrace.diagnosis.observation import Observation
from qtrace.diagnosis.quantities import at_stage, measured, state
from qtrace.model import Direction

LOOKS_AT = "checksums that the guest leaves to be filled in, and packet sockets at its tap or bridge"
THRESHOLD = (
    "Named as a note where csum is agreed on, a frame came from the guest, and a program has a packet socket "
    "bound to the tap or to its bridge: whether it fills the sums in itself cannot be seen. Without csum "
    "each frame has its sum when it leaves the guest."
)
_CSUM = 0


def look(seen: Observation) -> Iterator[Finding]:
    for nic in seen.nics:
        tap, row = nic.tap(), nic.carried(Direction.TX)
        readers = tap.get("readers") or ()
        if not readers or not nic.virtio or not tap.get("header") or not nic.has(_CSUM):
            continue
        if not row or not row["frames"]:
            continue
        who = ", ".join(readers)
        yield Finding(
            nic.title,
            "note",
            1.0,
            f"the guest leaves checksums of TCP and UDP to be filled in, and {who} reads its frames before "
            "that is done: passed on as they are, every receiver drops them, though ping goes through",
            [
                state(f"feature bit {_CSUM} (csum) is agreed on"),
                state(f"packet socket at {tap['name']} or its bridge: {who}"),
                at_stage(measured(row, "frames", "frames from the guest"), nic, row),
            ],
            [
                Advice("let the guest fill them in: in the guest", "ethtool -K eth0 tx off"),
                Advice("or for every guest, on the command line", f"-device {nic.nic},csum=off"),
            ],
            "possible",
            "whether the program only looks, or fills them in itself, is not seen",
        )
