"""What is measured against what, and what one measurement tells."""

from __future__ import annotations

from dataclasses import dataclass, field

from stream import Passed

from qtrace.trace.budget.overhead_budget import UNLIMITED, Budget, default_budget
from qtrace.trace.session.level import Level

__all__ = [
    "BPFTRACE_FULL",
    "BPFTRACE_STAGES",
    "CHOICES",
    "CLOSELY",
    "COUNTS",
    "EMPTIES",
    "EMPTY",
    "EMPTY_FULL",
    "EMPTY_STAGES",
    "FULL",
    "FUNCCOUNT",
    "NONE",
    "OURS",
    "SECONDS",
    "STAGES",
    "Found",
    "Round",
]

NONE = "no probes"
COUNTS, WITHIN = "qtrace, counts", "qtrace, stages within 5 %"
EMPTY = "an empty program at the tracepoint of counts"  # the least that counting each system call can cost
STAGES, FULL = "qtrace, stages exactly", "qtrace, full"
# The least that probing these functions can cost: the same sites, attached alike, and nothing done there.
EMPTY_STAGES, EMPTY_FULL = "an empty program at the functions of stages", "an empty program at those of full"
EMPTIES = {EMPTY_STAGES: STAGES, EMPTY_FULL: FULL}
OURS: dict[str, tuple[Level, Budget]] = {
    COUNTS: (Level.COUNTS, UNLIMITED),
    WITHIN: (Level.STAGES, default_budget(Level.STAGES)),
    STAGES: (Level.STAGES, UNLIMITED),
    FULL: (Level.FULL, UNLIMITED),
}
BPFTRACE_STAGES, BPFTRACE_FULL = "bpftrace, the functions of stages", "bpftrace, the functions of full"
FUNCCOUNT, FUNCLATENCY = "funccount, those exported", "funclatency, those exported"
CHOICES = (NONE, *OURS, *EMPTIES, BPFTRACE_STAGES, BPFTRACE_FULL, FUNCCOUNT, FUNCLATENCY)
SECONDS = 1.5
# What is promised within a percent or a few takes many pairs: (pairs, seconds of each of both).
CLOSELY = {COUNTS: (60, 0.5), EMPTY: (60, 0.5), WITHIN: (12, 3.0)}


@dataclass(frozen=True)
class Round:
    """One measurement: the traffic's rate (bit/s or frames/s), seconds to attach and to detach, hits a
    second, seconds of processor that they take by calibration in one second, what was lost, the share of the
    time in which functions were counted. `passed` is what the kernel counted meanwhile."""

    rate: float
    attach: float = 0.0
    detach: float = 0.0
    hits: float = 0.0
    load: float = 0.0
    lost: int = 0
    observed: float = 1.0
    passed: Passed | None = None


@dataclass
class Found:
    """Of one kind of traffic: choice -> its rounds; and of those that are looked at closely its pairs of
    rates, (with it, without probes)."""

    rounds: dict[str, list[Round]] = field(default_factory=lambda: {choice: [] for choice in CHOICES})
    pairs: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
