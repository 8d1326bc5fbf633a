"""The ratio of two sums as a product of factors, one a summand: the logarithmic mean Divisia index."""

from __future__ import annotations

import math
from collections.abc import Mapping

__all__ = ["factors_of_sum", "log_mean"]


def log_mean(first: float, second: float) -> float:
    """The logarithmic mean of two positive numbers: their difference over that of their logarithms."""
    half = (math.log(first) - math.log(second)) / 2
    return math.sqrt(first) * math.sqrt(second) * (math.sinh(half) / half if half else 1.0)


def factors_of_sum(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    """Logarithms of factors whose product is the sum of `first` over the sum of `second`, by summand.

    A summand that both have in equal size has the factor 1. A summand may be zero, absent on one side or
    negative; the two sums must be positive. Swapping the sides turns each factor into its inverse.
    """
    mean = log_mean(math.fsum(first.values()), math.fsum(second.values()))
    names = dict.fromkeys((*first, *second))
    return {name: (first.get(name, 0.0) - second.get(name, 0.0)) / mean for name in names}
