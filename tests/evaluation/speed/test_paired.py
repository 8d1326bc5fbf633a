"""The median of ratios of pairs, and its interval."""

from __future__ import annotations

import math

import numpy as np
from paired import median_ratio


def test_the_interval_of_a_median_covers_it_and_bad_pairs_do_not_move_it() -> None:
    random = np.random.default_rng(2)
    covered = 0
    for _ in range(1000):
        values = np.exp(random.normal(0.02, 0.1, 41))
        values[random.random(41) < 0.1] /= 3  # something else ran there: the median is 0.008 lower for it
        found = median_ratio([(float(value), 1.0) for value in values])
        covered += found.low <= math.exp(0.02 - 0.1 * 0.1397) <= found.high
    assert covered / 1000 > 0.93  # an interval from whole ranks covers rather more
    assert median_ratio([(1, 1)] * 5).n == 5 and math.isnan(median_ratio([(1, 1)] * 5).low)
    assert (six := median_ratio([(n, 1) for n in (1, 2, 3, 4, 5, 6)])).mean == 3.5
    assert (six.low, six.high) == (1, 6)
    assert median_ratio([(1.0, 0.0)]).n == 0 and median_ratio([(2.0, 1.0)] * 2000).low == 2.0
