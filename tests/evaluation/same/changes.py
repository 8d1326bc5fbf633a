"""What is changed on purpose between two runs, in words and numbers."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AGAIN", "AGAIN_REPETITIONS", "CHANGES", "LINK_MS", "Change"]

AGAIN = "again"  # the name of pairs in which nothing is changed
AGAIN_REPETITIONS = 3  # as a plan has that names none
LINK_MS = 40  # of delay that both runs of the changed delay have, as a link between two sites has


@dataclass(frozen=True, slots=True)
class Change:
    """`first` and `second` are the settings of the two runs; the second is slower. The smaller a difference,
    the more `repetitions` it takes to find it."""

    name: str
    text: str
    first: float
    second: float
    repetitions: int


CHANGES = (
    Change(
        "delay",
        f"netem delays by 5 % of the round trip more (a link of {LINK_MS} ms, virtio-net-pci, crr)",
        0,
        0.05,
        6,
    ),
    Change("mtu", "the tap's MTU is 576 and not 1500 (e1000, TCP to the guest)", 1500, 576, 4),
    Change("offload", "the tap's segmentation offload is off (virtio-net-pci, TCP to the guest)", 1, 0, 6),
)
