"""Intervals and quantiles against numpy and against their own definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtrace.analyses.methods.histogram import quantile
from qtrace.analyses.methods.stats import estimate, proportion, ratio, t_probability, t_quantile


# Critical values of printed tables, 97.5 %.
@pytest.mark.parametrize(
    ("df", "value"), [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (30, 2.042), (120, 1.980)]
)
def test_t_quantiles_are_those_of_the_tables(df: int, value: float) -> None:
    assert t_quantile(0.975, df) == pytest.approx(value, abs=6e-4)


@settings(max_examples=30, deadline=None)
@given(t=st.floats(0.01, 20), df=st.integers(1, 60))
def test_t_probability_is_the_integral_of_the_density(t: float, df: int) -> None:
    x = np.linspace(-t, t, 20_001)
    scale = math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) / math.sqrt(df * math.pi)
    area = float(np.trapezoid(scale * (1 + x**2 / df) ** (-(df + 1) / 2), x))
    assert t_probability(t, df) == pytest.approx(area, abs=1e-5)


def test_an_interval_covers_the_mean_as_often_as_it_says() -> None:
    samples = np.random.default_rng(1).normal(10, 2, size=(4000, 3))
    found = [estimate([float(value) for value in row]) for row in samples]
    covered = sum(item.low <= 10 <= item.high for item in found) / len(found)
    assert 0.935 < covered < 0.965


@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=20))
def test_the_mean_is_numpys_and_inside(values: list[float]) -> None:
    found = estimate(values)
    assert found.mean == pytest.approx(float(np.mean(values)), rel=1e-9, abs=1e-6)
    assert found.low <= found.mean <= found.high and found.n == len(values)


def test_too_few_values_have_no_interval() -> None:
    assert math.isnan(estimate([]).mean)
    one = estimate([5.0])
    assert one.mean == 5 and math.isnan(one.low) and math.isnan(one.high)


@given(st.lists(st.tuples(st.floats(1e-3, 1e6), st.floats(1e-3, 1e6)), min_size=2, max_size=9))
def test_a_ratio_turned_round_is_its_inverse(pairs: list[tuple[float, float]]) -> None:
    there, back = ratio(pairs), ratio([(b, a) for a, b in pairs])
    assert there.mean == pytest.approx(1 / back.mean, rel=1e-9)
    if 0 < back.high < math.inf and back.low > 0:
        assert there.low == pytest.approx(1 / back.high, rel=1e-6)


def test_pairs_without_a_ratio_are_left_out() -> None:
    found = ratio([(2, 1), (4, 2), (0, 1), (1, 0)])
    assert found.n == 2 and found.mean == pytest.approx(2) and found.low == pytest.approx(2)


samples = st.lists(st.integers(0, 2**40), min_size=1, max_size=200)


def slots(values: list[int]) -> dict[int, int]:
    """What the kernel's log2 histogram keeps of these times."""
    kept: dict[int, int] = {}
    for value in values:
        slot = max(0, value.bit_length() - 1)
        kept[slot] = kept.get(slot, 0) + 1
    return kept


@given(samples, st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_the_bounds_of_a_quantile_hold_for_the_raw_samples(values: list[int], q: float) -> None:
    found = quantile(slots(values), q)
    assert found is not None
    # `inverted_cdf` is the smallest sample with at least a share q at or below it: the same definition.
    true = float(np.quantile(values, q, method="inverted_cdf"))
    assert found.low <= true < found.high
    assert found.low <= found.value <= found.high


@given(samples)
def test_quantiles_do_not_cross(values: list[int]) -> None:
    found = [quantile(slots(values), q) for q in (0.5, 0.9, 0.99)]
    numbers = [item.value for item in found if item]
    assert numbers == sorted(numbers)


def test_quantiles_of_many_samples_are_near_the_true_ones() -> None:
    values = np.random.default_rng(2).lognormal(9, 1, 50_000).astype(int)
    for q in (0.5, 0.9, 0.99):
        found = quantile(slots([int(value) for value in values]), q)
        assert found is not None
        assert found.value == pytest.approx(float(np.quantile(values, q)), rel=0.2)


def test_an_empty_histogram_has_no_quantile() -> None:
    assert quantile({}, 0.5) is None and quantile({3: 0}, 0.5) is None


def test_a_share_has_the_interval_of_wilson() -> None:
    """Against the values that Newcombe (Statistics in Medicine 17, 1998) gives for 81 of 263 and 0 of 20."""
    found = proportion(81, 263)
    assert (round(found.mean, 4), round(found.low, 4), round(found.high, 4)) == (0.3080, 0.2553, 0.3662)
    none = proportion(0, 20)
    assert (none.low, round(none.high, 4)) == (0.0, 0.1611)
    assert math.isnan(proportion(0, 0).mean)
