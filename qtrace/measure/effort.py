"""How much is measured of a process, and what that may cost it."""

from __future__ import annotations

from dataclasses import dataclass

from qtrace.trace.budget.overhead_budget import UNLIMITED, Budget
from qtrace.trace.session.level import Level

__all__ = ["Effort"]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured, and the share of a processor that it may take.

    What the threads execute is sampled `cpu_hertz` times a second, and one frame in `sample` is kept whole; 0
    is none of them.
    """

    level: Level = Level.STAGES
    budget: Budget = UNLIMITED
    cpu_hertz: int = 0
    sample: int = 0
