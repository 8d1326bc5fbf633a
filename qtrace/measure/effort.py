"""The amount of measuring in a process, and the limit of its cost."""

from __future__ import annotations

from dataclasses import dataclass

from qtrace.trace.budget.overhead_budget import UNLIMITED, Budget
from qtrace.trace.session.level import Level

__all__ = ["Effort"]


@dataclass(frozen=True, slots=True)
class Effort:
    """The level of measuring, and the share of a processor that it may take.

    The threads are sampled `cpu_hertz` times a second, and one frame in `sample` is kept whole; 0 disables
    either. `also` has the names of instruments that are wanted below their level.
    """

    level: Level = Level.STAGES
    budget: Budget = UNLIMITED
    cpu_hertz: int = 0
    sample: int = 0
    also: frozenset[str] = frozenset()
