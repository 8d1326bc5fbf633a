"""Means and ratios with 95 % intervals from a few repetitions (Student's t).

Times and rates are positive and skewed: their intervals are computed on logarithms (`geometric`, `ratio`),
and so never reach zero. Amounts that are added up keep their mean (`amount`). `estimate` is for values that
may be negative, such as logarithms. tests/analyses/test_coverage.py says how often each interval must cover
what it is of.

With three repetitions a bootstrap interval is far too narrow, so the t quantile is computed here. For whole
degrees of freedom the distribution has a closed form, so scipy is not needed.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "Difference",
    "Estimate",
    "amount",
    "estimate",
    "geometric",
    "holm",
    "log_difference",
    "of_logs",
    "paired_difference",
    "proportion",
    "ratio",
    "t_probability",
    "t_quantile",
]

_NONE = float("nan")
_NORMAL = 1.959964  # the 97.5 % quantile of the normal distribution


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean of `n` values with its 95 % interval; the interval is NaN for fewer than two values."""

    n: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """How two groups differ in the mean: the difference with its 95 % interval, and `p`, the probability of
    one as large where there is none. The interval and `p` are NaN where a group has fewer than two values."""

    value: float
    low: float
    high: float
    p: float


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of independent repetitions and the interval that covers it in 95 % of campaigns."""
    n = len(values)
    if not n:
        return Estimate(0, _NONE, _NONE, _NONE)
    mean = math.fsum(values) / n
    if n == 1:
        return Estimate(1, mean, _NONE, _NONE)
    half = t_quantile(0.975, n - 1) * math.sqrt(_variance(values) / n)
    return Estimate(n, mean, mean - half, mean + half)


def geometric(values: Sequence[float]) -> Estimate:
    """The geometric mean of positive values, such as times and rates, and its interval on their logarithms.

    Zero has no logarithm: with one among the values it is their `amount`.
    """
    if len(values) == 1 or any(value <= 0 for value in values):
        return amount(values)
    logs = estimate([math.log(value) for value in values])
    return Estimate(logs.n, _exp(logs.mean), _exp(logs.low), _exp(logs.high))


def amount(values: Sequence[float]) -> Estimate:
    """The mean of values that are not negative and are added up, such as CPU time; some may be 0.

    The interval is symmetric on the logarithm of the mean (delta method), so it is never below zero. There is
    none where every value is 0.
    """
    plain = estimate(values)
    if plain.n < 2 or plain.mean <= 0:
        return Estimate(plain.n, plain.mean, _NONE, _NONE)
    half = (plain.high - plain.mean) / plain.mean
    return Estimate(plain.n, plain.mean, plain.mean * _exp(-half), plain.mean * _exp(half))


def ratio(pairs: Sequence[tuple[float, float]]) -> Estimate:
    """The geometric mean of `first / second` over pairs, with its interval computed on the logarithms.

    Both values of a pair come from the same repetition, so a disturbance of both cancels. Pairs with a value
    that is not positive have no ratio and are left out: `n` counts the pairs used.
    """
    return of_logs(_log_ratios(pairs))


def of_logs(values: Sequence[float]) -> Estimate:
    """The geometric mean of ratios that are given as logarithms."""
    logs = estimate(values)
    return Estimate(logs.n, _exp(logs.mean), _exp(logs.low), _exp(logs.high))


def paired_difference(pairs: Sequence[tuple[float, float]]) -> Difference:
    """The logarithm of `ratio(pairs)`, with the probability of one as far from 0 where there is none."""
    logs = _log_ratios(pairs)
    found = estimate(logs)
    if found.n < 2:
        return Difference(found.mean, _NONE, _NONE, _NONE)
    error = math.sqrt(_variance(logs) / found.n)
    if not error:
        return Difference(found.mean, found.mean, found.mean, 0.0 if found.mean else 1.0)
    p = 1 - t_probability(abs(found.mean) / error, found.n - 1)
    return Difference(found.mean, found.low, found.high, p)


def _log_ratios(pairs: Sequence[tuple[float, float]]) -> list[float]:
    return [math.log(a) - math.log(b) for a, b in pairs if a > 0 and b > 0]


def log_difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Of logarithms, how much more `second` is than `first` (Welch's t for groups of their own variance).

    The degrees of freedom are Satterthwaite's, rounded down: the interval is never too narrow for that.
    """
    one, two = estimate(first), estimate(second)
    value = two.mean - one.mean
    if one.n < 2 or two.n < 2:
        return Difference(value, _NONE, _NONE, _NONE)
    shares = [_variance(group) / len(group) for group in (first, second)]
    error = math.sqrt(math.fsum(shares))
    if not error:  # every value is the same: as certain as the clock that gave it
        return Difference(value, value, value, 1.0 if not value else 0.0)
    # The shares of the variance, not the variances: the square of a very small one would be 0.
    part = shares[0] / math.fsum(shares)
    freedom = max(1, math.floor(1 / (part**2 / (one.n - 1) + (1 - part) ** 2 / (two.n - 1))))
    half = t_quantile(0.975, freedom) * error
    return Difference(value, value - half, value + half, 1 - t_probability(abs(value) / error, freedom))


def holm(probabilities: Sequence[float]) -> list[float]:
    """Each probability corrected for there being many (Holm 1979): where none of the differences is real, the
    chance that any is below 0.05 is 0.05 at most. NaN stays NaN and does not count."""
    known = sorted((p, place) for place, p in enumerate(probabilities) if not math.isnan(p))
    corrected, highest = list(probabilities), 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - rank)))
        corrected[place] = highest
    return corrected


def _variance(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)


def proportion(part: int, whole: int) -> Estimate:
    """The share `part` of `whole` and its 95 % interval after Wilson, for independent draws."""
    if whole <= 0:
        return Estimate(0, _NONE, _NONE, _NONE)
    share, square = part / whole, _NORMAL**2
    middle = (share + square / (2 * whole)) / (1 + square / whole)
    half = math.sqrt(share * (1 - share) / whole + square / (4 * whole**2)) * _NORMAL / (1 + square / whole)
    return Estimate(whole, share, max(0.0, middle - half), min(1.0, middle + half))


def _exp(value: float) -> float:
    return math.inf if value > 700 else math.exp(value)


def t_probability(t: float, df: int) -> float:
    """P(|T| < t) for Student's T with `df` degrees of freedom, t >= 0 (Abramowitz & Stegun 26.7)."""
    angle = math.atan(t / math.sqrt(df))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = df % 2
    term = cosine if odd else 1.0
    total = term if df > 1 else 0.0
    for k in range(3 if odd else 2, df - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


@functools.lru_cache(maxsize=1024)
def t_quantile(p: float, df: int) -> float:
    """The t with P(T < t) = `p`, 0.5 <= p < 1."""
    if not 0.5 <= p < 1 or df < 1:
        raise ValueError((p, df))
    wanted, low, high = 2 * p - 1, 0.0, 1.0
    while t_probability(high, df) < wanted:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        if t_probability(middle, df) < wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2
