"""The active counts of one process: the values of `target.running` (probes/common.bpf.c)."""

from __future__ import annotations

from qtrace.probes.common import Counts

__all__ = ["ALL", "CALLS", "NOTHING"]

# System calls are always counted; functions are not counted while their probes are removed.
NOTHING, CALLS, ALL = Counts(0), Counts.CALLS, Counts.CALLS | Counts.FUNCTIONS
