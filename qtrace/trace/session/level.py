"""The measured part of a path, on which the cost depends."""

from __future__ import annotations

import enum

__all__ = ["Level"]


class Level(enum.StrEnum):
    """`counts`: system calls (a raw tracepoint), and the devices' own counters; no function of QEMU is
    probed. `stages`: the path's stages. `full`: every function of the path that has an address in the
    binary."""

    COUNTS = "counts"
    STAGES = "stages"
    FULL = "full"
