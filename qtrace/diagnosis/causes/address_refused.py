"""The NIC refuses frames: they are for another address or VLAN than its guest asked for.

A switch that floods, a bridge whose guest uses another MAC than QEMU gave its NIC, or a VLAN filter.
"""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.diagnosis.cause import Advice, Finding
from qtrace.diagnosis.observation import Observation
from qtrace.diagnosis.quantities import at_stage, share_of
from qtrace.model import Direction
from qtrace.trace.frames.reasons import NOT_ITS_ADDRESS

LOOKS_AT = "frames that the NIC's receive filter refused"
THRESHOLD = (
    "Named where it refuses a quarter of all frames to the guest and at least 20: a learning bridge "
    "floods a few in its first seconds, and each flooded frame is carried by QEMU up to the NIC."
)
_LEAST, _SHARE = 20, 0.25


def look(seen: Observation) -> Iterator[Finding]:
    for nic in seen.nics:
        refused = nic.stopped(Direction.RX, NOT_ITS_ADDRESS)
        whole = max(nic.frames(Direction.RX), refused)
        if refused < _LEAST or refused < _SHARE * whole:
            continue
        share = refused / whole
        others = [row["why"] for row in nic.rows("stops", direction="rx") if NOT_ITS_ADDRESS in row["why"]]
        sure = all(why.endswith(NOT_ITS_ADDRESS) for why in others)
        yield Finding(
            nic.title,
            "breaks" if share > 0.9 else "limits",
            0.9 * share,
            "the NIC refuses frames to the guest: they are for another address or VLAN"
            + ("" if sure else ", or it had no buffers for them"),
            [at_stage(share_of(refused, whole, "frames"), nic, nic.stage(Direction.RX, "deliver"))],
            [
                Advice("compare the guest's address with mac= on the line", "ip -br link show eth0"),
                Advice("where a bridge floods: let it learn, or isolate its ports"),
            ],
            "certain" if sure else "possible",
            "the stage where they stopped and the device's filter"
            if sure
            else "no receive buffers look the same",
        )
