"""The tap's MTU is another than the one that the guest goes by.

A guest takes 1,500 unless its virtio NIC tells it another (host_mtu=). Behind a tap with a smaller MTU its
large frames are lost or cut; with a larger one it never sends any.
"""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.diagnosis.cause import Advice, Finding
from qtrace.diagnosis.observation import Nic, Observation
from qtrace.diagnosis.quantities import state
from qtrace.diagnosis.traffic import mean_bytes
from qtrace.model import Direction

LOOKS_AT = "the MTU of the tap, and the one that the guest is told"
THRESHOLD = (
    "A state, named where the two differ and a frame has passed. A guest that was given another MTU "
    "by hand is known by frames larger than it was told, where no offload makes larger ones, and is "
    "not named."
)
_USUAL = 1500
_MTU, _HOST_TSO4 = 3, 11


def look(seen: Observation) -> Iterator[Finding]:
    for nic in seen.nics:
        mtu = nic.tap().get("mtu")
        told = nic.card().get("mtu") or None
        goes_by = told or _USUAL
        passed = sum(nic.frames(way) for way in Direction)
        if mtu is None or not nic.card() or mtu == goes_by or not passed or _by_hand(nic, goes_by):
            continue
        name = nic.tap()["name"]
        told_so = f"told {told}" if told else f"told none and takes {_USUAL}"
        wide = mtu > goes_by
        yield Finding(
            nic.title,
            "limits",
            0.5 if wide else 0.75,
            f"the tap {name} has an MTU of {mtu}, the guest is {told_so}: "
            + (
                "it never sends the larger frames" if wide else "its larger frames are lost or cut on the way"
            ),
            [state(f"MTU of {name}: {mtu}"), state(f"the guest is {told_so}")],
            list(_remedies(nic, str(name), mtu, goes_by)),
            "likely",
            "the guest may have been given another MTU by hand",
        )


def _by_hand(nic: Nic, goes_by: int) -> bool:
    row = nic.carried(Direction.TX)
    return not nic.has(_HOST_TSO4) and mean_bytes(row) > goes_by + 40


def _remedies(nic: Nic, tap: str, mtu: int, goes_by: int) -> Iterator[Advice]:
    if nic.virtio:
        yield Advice("tell the guest", f"-device {nic.nic},host_mtu={mtu}")
    else:
        yield Advice("in the guest", f"ip link set eth0 mtu {mtu}")
    yield Advice("or give the tap the guest's", f"ip link set dev {tap} mtu {goes_by}")
