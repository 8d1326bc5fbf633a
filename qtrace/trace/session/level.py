"""How much of a path is measured, and so what it costs."""

from __future__ import annotations

import enum

__all__ = ["Level"]


class Level(enum.StrEnum):
    """`counts`: system calls (a raw tracepoint), and the counters that devices keep anyway; no function of
    QEMU is probed. `stages`: the path's stages. `full`: every function of the path that has a place in the
    binary."""

    COUNTS = "counts"
    STAGES = "stages"
    FULL = "full"
