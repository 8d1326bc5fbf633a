"""The law of the logarithmic mean: the factors of two sums multiply to the sums' ratio, whatever they are."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtrace.analyses.methods.log_mean import factors_of_sum, log_mean

AMOUNT = st.floats(1e-9, 1e9)
PARTS = st.dictionaries(st.sampled_from("abcde"), st.one_of(st.just(0.0), AMOUNT), min_size=1).filter(
    lambda parts: sum(parts.values()) > 0
)


@given(PARTS, PARTS)
def test_the_factors_multiply_to_the_ratio(first: dict[str, float], second: dict[str, float]) -> None:
    found = factors_of_sum(first, second)
    wanted = math.log(math.fsum(first.values()) / math.fsum(second.values()))
    assert math.fsum(found.values()) == pytest.approx(wanted, rel=1e-6, abs=1e-9)
    for name, log in found.items():
        assert (log > 0) == (first.get(name, 0) > second.get(name, 0))


@given(PARTS, PARTS)
def test_the_sides_can_be_swapped(first: dict[str, float], second: dict[str, float]) -> None:
    there, back = factors_of_sum(first, second), factors_of_sum(second, first)
    assert there == {name: pytest.approx(-back[name]) for name in there}


@given(AMOUNT, AMOUNT)
def test_the_mean_lies_between(one: float, two: float) -> None:
    assert min(one, two) * (1 - 1e-9) <= log_mean(one, two) <= max(one, two) * (1 + 1e-9)
    assert log_mean(one, one) == pytest.approx(one)


def test_known_numbers() -> None:
    """Twice the time in one of two parts: the other has the factor 1."""
    found = factors_of_sum({"a": 3.0, "b": 1.0}, {"a": 1.0, "b": 1.0})
    assert math.exp(found["a"]) == pytest.approx(2) and found["b"] == 0
    # A part that may be negative: the time in which nothing ran, where threads overlap.
    found = factors_of_sum({"cpu": 5.0, "idle": -1.0}, {"cpu": 1.0, "idle": 1.0})
    assert math.exp(sum(found.values())) == pytest.approx(2) and found["idle"] < 0
