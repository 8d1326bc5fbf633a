"""Two things measured in turns, many times: how much dearer one is, whatever else happened meanwhile."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qtrace.analyses.methods.stats import Estimate

__all__ = ["median_ratio"]


def median_ratio(pairs: Sequence[tuple[float, float]]) -> Estimate:
    """The median of `first / second` over many pairs, as `mean`, with an interval from their order alone:
    a machine that now and then does something else spoils some pairs, which move it little.

    Pairs with a value that is not positive are left out. The interval is NaN for fewer than six.
    """
    ratios = sorted(a / b for a, b in pairs if a > 0 and b > 0)
    n = len(ratios)
    if not n:
        return Estimate(0, math.nan, math.nan, math.nan)
    median = (ratios[(n - 1) // 2] + ratios[n // 2]) / 2
    # How many lie below the true median is binomial: the outermost `cut` on each side are in its tails.
    tail, cut = 1, 0  # of 2^n
    while 40 * tail <= 2**n:
        cut += 1
        tail += math.comb(n, cut)
    if not cut:
        return Estimate(n, median, math.nan, math.nan)
    return Estimate(n, median, ratios[cut - 1], ratios[n - cut])
