"""Where the target's threads spend their CPU time, from the kernel's software event cpu-clock."""

from __future__ import annotations

from qtrace.probes.family import Family, Point

__all__ = ["FAMILY"]

FAMILY = Family(
    name="cpu",
    summary="samples of what the target's threads execute, at a fixed frequency on each processor",
    needs=("perf events",),
    points=(Point("cpu-clock", (("perf_event", "on_cpu_clock"),), note="samples, no uprobe"),),
)
