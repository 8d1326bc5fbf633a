"""The condition of a run that says how many cells of its plan were left out, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

__all__ = ["LEFT_OUT", "left_out_fact"]

LEFT_OUT = "cells left out"


def left_out_fact(reasons: Sequence[str], named: int) -> dict[str, str]:
    """The condition, of the reason of each cell and the number of cells that the plan names; nothing where
    none was left out."""
    said = "; ".join(f"{times} because {reason}" for reason, times in Counter(reasons).items())
    return {LEFT_OUT: f"{len(reasons)} of {named}: {said}"} if reasons else {}
