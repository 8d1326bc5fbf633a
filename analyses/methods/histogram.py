"""Quantiles of the kernel's log2 histograms: bucket b counts times from 2^b up to 2^(b+1) nanoseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["TIMES", "Quantile", "quantile", "times"]

_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
# The columns of `times`: a value interpolated within its bucket, and the bounds of the true value.
TIMES = tuple(f"{name}{end}" for name in _QUANTILES for end in ("_ns", "_low_ns", "_high_ns"))


@dataclass(frozen=True, slots=True)
class Quantile:
    """`value` is interpolated; the true quantile lies between `low` and `high` (all in ns)."""

    value: float
    low: float
    high: float


def quantile(buckets: Mapping[int, int], q: float) -> Quantile | None:
    """The `q` quantile (0 < q <= 1), or None of an empty histogram.

    Within its bucket the value is interpolated on the logarithmic scale, like the buckets. Only the bucket is
    certain, hence the bounds. Bucket 0 also holds 0 ns, so its lower bound is 0.
    """
    if not 0 < q <= 1:
        raise ValueError(q)
    total = sum(buckets.values())
    if total <= 0:
        return None
    rank, before = q * total, 0
    for bucket in sorted(buckets):
        count = buckets[bucket]
        if count and before + count >= rank:
            share = max(0.0, (rank - before) / count)
            return Quantile(2.0 ** (bucket + share), 2.0**bucket if bucket else 0.0, 2.0 ** (bucket + 1))
        before += count
    top = max(bucket for bucket, count in buckets.items() if count)
    return Quantile(2.0 ** (top + 1), 2.0**top if top else 0.0, 2.0 ** (top + 1))


def times(buckets: Mapping[int, int]) -> dict[str, float]:
    """p50, p90 and p99 with their bounds, by the names of `TIMES`; empty for an empty histogram."""
    found: dict[str, float] = {}
    for name, q in _QUANTILES.items():
        if at := quantile(buckets, q):
            found |= {f"{name}_ns": at.value, f"{name}_low_ns": at.low, f"{name}_high_ns": at.high}
    return found
