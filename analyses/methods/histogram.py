"""Quantiles of the kernel's log2 histograms: slot s counts times from 2^s up to 2^(s+1) nanoseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["TIMES", "Quantile", "quantile", "times"]

_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
# The columns that `times` gives: a value interpolated within its slot, and the bounds of the true one.
TIMES = tuple(f"{name}{end}" for name in _QUANTILES for end in ("_ns", "_low_ns", "_high_ns"))


@dataclass(frozen=True, slots=True)
class Quantile:
    """`value` is interpolated; the true quantile lies between `low` and `high` (all in ns)."""

    value: float
    low: float
    high: float


def quantile(slots: Mapping[int, int], q: float) -> Quantile | None:
    """The `q` quantile (0 < q <= 1), or None of an empty histogram.

    Within its slot the value is interpolated evenly on the logarithmic scale, as the slots are; what
    is certain is only the slot, hence the bounds. Slot 0 also holds 0 ns, so its lower bound is 0.
    """
    if not 0 < q <= 1:
        raise ValueError(q)
    total = sum(slots.values())
    if total <= 0:
        return None
    rank, before = q * total, 0
    for slot in sorted(slots):
        count = slots[slot]
        if count and before + count >= rank:
            share = max(0.0, (rank - before) / count)
            return Quantile(2.0 ** (slot + share), 2.0**slot if slot else 0.0, 2.0 ** (slot + 1))
        before += count
    top = max(slot for slot, count in slots.items() if count)
    return Quantile(2.0 ** (top + 1), 2.0**top if top else 0.0, 2.0 ** (top + 1))


def times(slots: Mapping[int, int]) -> dict[str, float]:
    """p50, p90 and p99 with their bounds, by the names of `TIMES`; nothing of an empty histogram."""
    found: dict[str, float] = {}
    for name, q in _QUANTILES.items():
        if at := quantile(slots, q):
            found |= {f"{name}_ns": at.value, f"{name}_low_ns": at.low, f"{name}_high_ns": at.high}
    return found
