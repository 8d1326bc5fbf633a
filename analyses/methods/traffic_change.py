"""Whether probing changed the traffic: counts that need no function probe, compared with and without probes.

Probes take time, and that is a cost. But a slower QEMU may also take more frames at each turn. The measured
traffic is then not the traffic without probes, and no cost can be derived from it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qtrace.analyses.methods.stats import Estimate, t_quantile

__all__ = ["CHANGED", "RATE", "Change", "Compared", "Ratio", "changes", "is_only_a_cost"]

CHANGED = "probing changed the traffic"
# The measure that probes may lower without another regime: that is what they cost.
RATE = "frames a second"
_LEAST = 1.05  # a ratio nearer to 1 changes no answer
_FEWEST = 3  # windows of each kind
_LEVEL = 0.05  # of all measures of one traffic together


class Ratio:
    """The ratio of two counts over several windows: the sum of one over the sum of the other, which may be
    seconds (`timed`). Only sums are kept, so that a long run takes no more memory."""

    def __init__(self, windows: Iterable[tuple[float, float]] = (), *, timed: bool = False) -> None:
        self.windows = 0
        self._timed = timed
        self._above = self._below = 0.0
        self._above_squared = self._below_squared = self._product = 0.0
        for above, below in windows:
            self.add(above, below)

    def add(self, above: float, below: float) -> None:
        """A window has ended."""
        self.windows += 1
        self._above += above
        self._below += below
        self._above_squared += above * above
        self._below_squared += below * below
        self._product += above * below

    @property
    def value(self) -> float:
        """NaN where nothing was counted at all, infinite where nothing is below."""
        if not self._below:
            return math.inf if self._above else math.nan
        return self._above / self._below

    def __str__(self) -> str:
        value = self.value
        if math.isinf(value):
            return f"> {self._above:,.0f}"
        return f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value < 1 else f"{value:.1f}"

    def log(self) -> tuple[float, float]:
        """Natural logarithm of the value and its standard error; (NaN, NaN) where there is none.

        The error is that of a ratio estimator, and at least that of Poisson counts: a few windows may be
        alike by chance. A count of nothing is taken as a half.
        """
        if self.windows < 2 or not (self._above or self._below):
            return math.nan, math.nan
        above, below = max(self._above, 0.5), self._below if self._timed else max(self._below, 0.5)
        ratio = above / below
        residuals = self._above_squared - 2 * ratio * self._product + ratio * ratio * self._below_squared
        varies = max(0.0, residuals) * self.windows / (self.windows - 1) / above**2
        by_chance = 1 / above + (0 if self._timed else 1 / below)
        return math.log(ratio), math.sqrt(max(varies, by_chance))


@dataclass(frozen=True, slots=True)
class Compared:
    """One measure, by its name (`frames a kick`), in windows without functions probed and with."""

    measure: str
    without: Ratio
    probed: Ratio


@dataclass(frozen=True, slots=True)
class Change:
    """A measure that differs by more than its interval. `ratio` is probed over without."""

    measure: str
    without: Ratio
    probed: Ratio
    ratio: Estimate

    def __str__(self) -> str:
        return f"{self.measure} {self.without} -> {self.probed}"

    @property
    def interval(self) -> str:
        """The ratio with its interval, in words."""
        return f"{self.ratio.mean:.2f} times, {self.ratio.low:.2f} to {self.ratio.high:.2f}"


def changes(compared: Sequence[Compared]) -> list[Change]:
    """The measures of one traffic that differ, the most changed first.

    Each interval is so wide that in runs with unchanged traffic all intervals together are wrong in 5 %
    (Bonferroni's correction).
    """
    known = [one for one in compared if min(one.without.windows, one.probed.windows) >= _FEWEST]
    found = []
    for one in known:
        (without, error), (probed, other) = one.without.log(), one.probed.log()
        if math.isnan(without) or math.isnan(probed):
            continue
        freedom = min(one.without.windows, one.probed.windows) - 1
        half = t_quantile(1 - _LEVEL / 2 / len(known), freedom) * math.hypot(error, other)
        middle = probed - without
        if abs(middle) > max(half, math.log(_LEAST)):
            ends = math.exp(middle), math.exp(middle - half), math.exp(middle + half)
            ratio = Estimate(freedom + 1, *ends)
            found.append(Change(one.measure, one.without, one.probed, ratio))
    return sorted(found, key=lambda change: -abs(math.log(change.ratio.mean)))


def is_only_a_cost(found: Iterable[Change]) -> bool:
    """Whether a cost of probing may still be computed: nothing differs but a rate that has fallen."""
    return all(change.measure.endswith(RATE) and change.ratio.mean < 1 for change in found)
