"""Whether probing changed the traffic: found where it did, and hardly ever where it did not."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtrace.analyses.methods.traffic_change import RATE, Compared, Ratio, changes, is_only_a_cost

Windows = list[tuple[float, float]]


def traffic(random: Random, windows: int, batch: float) -> Windows:
    """(frames, kicks) of windows: frames in bursts, and a kick for each `batch` of them on the mean."""
    found: Windows = []
    for _ in range(windows):
        frames = round(1000 * math.exp(random.gauss(0, 0.6)))
        kicks = max(1, round(frames / batch * math.exp(random.gauss(0, 0.1))))
        found.append((frames, kicks))
    return found


def compare(*measures: tuple[str, Windows, Windows]) -> list[str]:
    return [change.measure for change in changes([compared(*measure) for measure in measures])]


def compared(name: str, without: Windows, probed: Windows) -> Compared:
    timed = name.endswith("a second")
    return Compared(name, Ratio(without, timed=timed), Ratio(probed, timed=timed))


@pytest.mark.parametrize("windows", [3, 6, 40])
def test_the_same_traffic_is_called_another_in_5_percent_of_runs_at_most(windows: int) -> None:
    runs, wrong = 600, 0
    for seed in range(runs):
        random = Random(seed)
        measures = [
            (name, traffic(random, windows, 1.1), traffic(random, windows, 1.1)) for name in ("a", "b", "c")
        ]
        wrong += bool(compare(*measures))
    assert wrong / runs <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize("windows", [6, 40])
def test_another_regime_is_found(windows: int) -> None:
    found = 0
    for seed in range(100):
        random = Random(seed)
        without, probed = traffic(random, windows, 1.1), traffic(random, windows, 6.8)
        found += compare(("frames a kick", without, probed)) == ["frames a kick"]
    assert found == 100


def test_it_is_said_as_a_person_would() -> None:
    (change,) = changes([compared("frames a kick", [(1100, 1000)] * 8, [(6800, 1000)] * 8)])
    assert str(change) == "frames a kick 1.1 -> 6.8"
    assert change.ratio.low < 6.8 / 1.1 < change.ratio.high
    assert change.interval.startswith("6.18 times, ")


def test_a_measure_that_vanishes_is_a_change_and_no_zero() -> None:
    (change,) = changes([compared("frames a kick", [(1000, 900)] * 5, [(1000, 0)] * 5)])
    assert str(change) == "frames a kick 1.1 -> > 5,000"


def test_what_nobody_counted_is_no_change() -> None:
    assert compare(("frames a kick", [(0, 0)] * 9, [(0, 0)] * 9)) == []
    assert compare(("frames a kick", [(0, 0)] * 9, [(100, 90)] * 9)) == []


def test_too_few_windows_tell_nothing() -> None:
    assert compare(("frames a kick", [(1100, 1000)] * 2, [(6800, 1000)] * 20)) == []


RATES = [(float(number), 1.0) for number in (990, 1000, 1010, 1005)]


@pytest.mark.parametrize(
    ("probed", "cost"),
    [
        ([], True),
        ([(f"tx {RATE}", 0.7)], True),  # slower, and nothing else: that is what probes cost
        ([(f"tx {RATE}", 2.1)], False),  # nothing gets faster by being probed
        ([(f"tx {RATE}", 0.7), ("system calls a frame", 0.5)], False),
    ],
)
def test_a_cost_is_a_rate_that_falls_alone(probed: Sequence[tuple[str, float]], cost: bool) -> None:
    many = [(1000 * above, 1000 * below) for above, below in RATES]
    found = changes(
        [compared(name, many, [(above * times, below) for above, below in many]) for name, times in probed]
    )
    assert len(found) == len(probed)
    assert is_only_a_cost(found) is cost


pairs = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=3, max_size=10)


@given(pairs, pairs, st.sampled_from([list, sorted, lambda held: held[::-1]]))
def test_the_order_of_windows_does_not_matter(
    without: Windows, probed: Windows, order: Callable[[Windows], Windows]
) -> None:
    first = changes([compared("frames a kick", without, probed)])
    again = changes([compared("frames a kick", order(without), order(probed))])
    assert [str(change) for change in first] == [str(change) for change in again]
    for change in first:
        assert change.ratio.low <= change.ratio.mean <= change.ratio.high
        assert not change.ratio.low <= 1 <= change.ratio.high
