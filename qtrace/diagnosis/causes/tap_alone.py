"""The tap leads nowhere: it is in no bridge and has no address, so that nobody hears the guest."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.diagnosis.cause import Advice, Finding
from qtrace.diagnosis.observation import Observation
from qtrace.diagnosis.quantities import at_stage, counted, state
from qtrace.model import Direction

LOOKS_AT = "where the tap leads: a bridge, or an address of its own"
THRESHOLD = (
    "Named where a tap that is up has neither, the guest has sent at least five frames and fewer "
    "than one in ten came back: somebody who reads the tap by a packet socket or a qdisc's redirect answers."
)
_LEAST, _BACK = 5, 0.1


def look(seen: Observation) -> Iterator[Finding]:
    for nic in seen.nics:
        tap = nic.tap()
        if tap.get("up") is not True or tap.get("master") != "" or tap.get("addressed") is not False:
            continue
        sent, back = nic.frames(Direction.TX), nic.frames(Direction.RX)
        if sent < _LEAST or back > _BACK * sent:
            continue
        name = tap["name"]
        yield Finding(
            nic.title,
            "breaks",
            0.92,
            f"the guest's frames end at {name}: it is in no bridge and has no address",
            [
                state(f"{name} has no master and no address in QEMU's network namespace"),
                at_stage(counted(sent, "frames from the guest"), nic, nic.carried(Direction.TX)),
                counted(back, "frames to the guest"),
            ],
            [
                Advice("put it into the bridge that it is meant for", f"ip link set dev {name} master br0"),
                Advice("or give it an address", f"ip address add ADDRESS/24 dev {name}"),
            ],
            "likely",
            "a packet socket or a qdisc that takes frames from it is not seen",
        )
