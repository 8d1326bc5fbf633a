"""What is counted now, of one process: bits of `target.running` (probes/common.bpf.c)."""

from __future__ import annotations

__all__ = ["ALL", "CALLS", "NOTHING"]

# System calls are counted all the time; functions not while their probes are off.
NOTHING, CALLS, ALL = 0, 1, 3
