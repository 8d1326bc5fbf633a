"""What is counted now, of one process: what `target.running` is set to (probes/common.bpf.c)."""

from __future__ import annotations

from qtrace.probes.common import Counts

__all__ = ["ALL", "CALLS", "NOTHING"]

# System calls are counted all the time; functions not while their probes are off.
NOTHING, CALLS, ALL = Counts(0), Counts.CALLS, Counts.CALLS | Counts.FUNCTIONS
