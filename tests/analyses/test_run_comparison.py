"""Two runs are compared without promising more than they hold (values are drawn, rows are made up)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtrace.analyses.methods.data import Data
from qtrace.analyses.methods.run_comparison import COMPARISON, compare_runs
from qtrace.analyses.methods.stats import holm, log_difference
from qtrace.errors import StoreError

BETTER = {"throughput": "more", "rtt_p50": "less"}
CELLS = [f"{nic}+{netdev}+qemu+tx+tcp" for nic in ("e1000", "virtio-net-pci") for netdev in ("tap", "user")]


def run(values: dict[str, Sequence[float]], metric: str = "throughput", venue: str = "host") -> Data:
    rows: list[dict[str, Any]] = [
        {"cell": cell, "rep": rep, "probed": False, "metric": metric, "value": value}
        | {"unit": "bit/s", "status": "ok"}
        for cell, series in values.items()
        for rep, value in enumerate(series, 1)
    ]
    return Data({"results": pd.DataFrame(rows)}, venue)


def verdicts(first: Data, second: Data, **more: Any) -> list[tuple[str, str]]:
    frame = compare_runs(first, second, BETTER, metrics=BETTER, **more)
    assert tuple(frame.columns) == COMPARISON
    return list(zip(frame["verdict"], frame["reason"], strict=True))


def drawn(rng: np.random.Generator, true: float = 1.0, spread: float = 0.01, n: int = 5) -> list[float]:
    return [float(value) for value in true * np.exp(rng.normal(0, spread, n))]


@pytest.mark.parametrize(("spread", "n"), [(0.01, 5), (1.0, 3)])
def test_two_equal_runs_are_called_different_as_seldom_as_they_should_be(spread: float, n: int) -> None:
    """200 pairs of equal runs of four cells: at most one pair in twenty has a cell that is called different,
    even where no margin helps, and where three values differ by a factor."""
    rng = np.random.default_rng(19)
    wrong = 0
    for _ in range(200):
        pair = [run({cell: drawn(rng, spread=spread, n=n) for cell in CELLS}) for _ in range(2)]
        wrong += any(verdict in ("slower", "faster") for verdict, _ in verdicts(*pair, margin=1e-9))
    assert wrong <= 19  # 10, and three times the deviation of such a count


def test_a_change_of_five_percent_is_found_in_nineteen_of_twenty() -> None:
    rng = np.random.default_rng(20)
    found = 0
    for _ in range(100):
        before = run({cell: drawn(rng) for cell in CELLS})
        after = run({cell: drawn(rng, 0.95 if cell == CELLS[0] else 1.0) for cell in CELLS})
        found += verdicts(before, after)[0][0] == "slower"
    assert found >= 95


def test_the_four_verdicts_and_their_reasons() -> None:
    close, wide = [100.0, 100.1, 99.9], [60.0, 100.0, 150.0]
    first = run(dict.fromkeys(CELLS, close) | {"z": close})
    second = run(dict(zip(CELLS, ([110.0, 110.1, 109.9], [90.0, 90.1, 89.9], close, wide), strict=True)))
    assert verdicts(first, second) == [
        ("faster", ""),
        ("slower", ""),
        ("same", ""),
        ("not known", "the interval holds 1 and more than the margin"),
        ("not known", "measured in one of the runs only"),
    ]
    assert verdicts(run({"a": close}), run({"a": [100.0]})) == [
        ("not known", "one repetition has no interval")
    ]
    # Half a percent more for certain, which is within the margin of two.
    assert verdicts(run({"a": close}), run({"a": [value * 1.005 for value in close]})) == [("same", "")]


def test_less_is_better_where_the_metric_says_so() -> None:
    before, after = (
        run({CELLS[0]: series}, "rtt_p50") for series in ([100.0, 101.0, 99.0], [80.0, 81.0, 79.0])
    )
    assert verdicts(before, after) == [("faster", "")] and verdicts(after, before) == [("slower", "")]


def test_a_metric_of_which_nobody_says_what_is_better_is_not_compared() -> None:
    assert verdicts(run({CELLS[0]: [1.0, 2.0]}, "bytes"), run({CELLS[0]: [1.0, 2.0]}, "bytes")) == []


def test_two_machines_are_compared_by_each_one_s_own_baseline() -> None:
    """The second machine is three times as fast, and drifts; user against tap is the same on both."""
    tap, user = CELLS[:2]
    slow = run({tap: [100.0, 101.0, 99.0], user: [50.0, 50.5, 49.5]}, venue="vm")
    fast = run({tap: [300.0, 450.0, 600.0], user: [150.0, 225.0, 300.0]})
    with pytest.raises(StoreError, match="different venues cannot be compared: vm and host"):
        verdicts(slow, fast)
    frame = compare_runs(slow, fast, BETTER, metrics=BETTER, relative=True)
    (row,) = frame.to_dict("records")
    assert (row["netdev"], row["verdict"], row["unit"]) == ("user", "same", "1")
    assert row["first"] == pytest.approx(0.5) and row["ratio"] == pytest.approx(1.0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_makes_a_probability_smaller_and_keeps_their_order(given_p: list[float]) -> None:
    found = holm(given_p)
    assert all(before <= after <= 1 for before, after in zip(given_p, found, strict=True))
    order = sorted(range(len(found)), key=given_p.__getitem__)
    assert [found[place] for place in order] == sorted(found)
    assert min(found) == pytest.approx(min(1, min(given_p) * len(given_p)))


def test_holm_s_own_example_and_what_is_not_known() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    found = holm([0.01, math.nan, 0.04])
    assert found[0] == pytest.approx(0.02) and math.isnan(found[1]) and found[2] == pytest.approx(0.04)


def test_welch_s_interval_covers_the_difference_with_unequal_spreads() -> None:
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(2000):
        found = log_difference(list(rng.normal(0, 1, 4)), list(rng.normal(0.5, 4, 6)))
        covered += found.low <= 0.5 <= found.high
        assert (found.p < 0.05) == (not found.low <= 0 <= found.high)
    assert 0.94 < covered / 2000 < 0.98
