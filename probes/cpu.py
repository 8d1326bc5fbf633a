"""Where the target's threads spend their CPU time, from the kernel's software event cpu-clock."""

from __future__ import annotations

from enum import IntEnum

from qtrace.probes.family import Family, Point
from qtrace.probes.shared import Loss, Shared

__all__ = ["FAMILY", "SHARED", "In"]


class In(IntEnum):
    """Stands for an address."""

    KERNEL = 0
    GUEST = 1


SHARED = Shared(
    enums={"IN": In},
    losses=(Loss("CPU", "CPU samples beyond their map", "their functions are missing"),),
)
FAMILY = Family(
    name="cpu",
    summary="samples of what the target's threads execute, at a fixed frequency on each processor",
    needs=("perf events",),
    points=(Point("cpu-clock", (("perf_event", "on_cpu_clock"),), note="samples, no uprobe"),),
)
