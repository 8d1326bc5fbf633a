"""A/A, warm-up, drift and outliers are told where they are, and seldom where they are not (drawn values)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from qtrace.analyses.baseline_twice import analyse as twice
from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.steadiness import DRIFT, OUTLIER, WARM_UP
from qtrace.analyses.steadiness import analyse as steadiness
from qtrace.analyses.throughput import analyse as throughput

NAMES = ("tap", "user", "socket", "stream", "vde")
CELLS = [f"e1000+{name}+qemu+tx+tcp" for name in NAMES]
AGAIN = f"{CELLS[0]}+again"

# (cell's number, repetition from 0, moment from 0 to 1) -> a factor.
Effect = Callable[[int, int, float], float]


def run(rng: np.random.Generator, effect: Effect = lambda *_: 1.0, n: int = 5, spread: float = 0.02) -> Data:
    """Five cells of very different speed, in rounds, and the first of them once more."""
    rows: list[dict[str, Any]] = []
    for rep in range(n):
        for place, number in enumerate(rng.permutation(len(CELLS) + 1)):
            cell = [*CELLS, AGAIN][number]
            moment = (rep + place / (len(CELLS) + 1)) / n
            speed = 10.0 ** (number % len(CELLS)) * effect(int(number), rep, moment)
            rows.append(
                {"cell": cell, "rep": rep + 1, "probed": False, "metric": "throughput", "unit": "bit/s"}
                | {"value": speed * float(rng.lognormal(0, spread)), "status": "ok"}
                | {"started": 1e9 + 300 * moment}
            )
    return Data({"results": pd.DataFrame(rows)}, "host")


def told(data: Data) -> list[dict[str, Any]]:
    return [row for row in steadiness(data).to_dict("records") if row["told"]]


@pytest.mark.parametrize("n", [3, 5])
def test_a_steady_machine_is_seldom_called_unsteady(n: int) -> None:
    """5 % of the runs for each of the three kinds, and three times the deviation of such a count."""
    rng, runs = np.random.default_rng(n), 60
    found = [{row["kind"] for row in told(run(rng, n=n))} for _ in range(runs)]
    for kind in (WARM_UP, DRIFT, OUTLIER):
        assert sum(kind in kinds for kinds in found) <= 0.05 * runs + 3 * (0.05 * 0.95 * runs) ** 0.5


@pytest.mark.parametrize(
    ("kind", "effect", "ratio"),
    [
        (WARM_UP, lambda _, rep, __: 0.9 if rep == 0 else 1.0, 0.9),
        (DRIFT, lambda _, __, moment: 1 - 0.15 * moment, 0.875),
        (OUTLIER, lambda number, rep, _: 0.3 if (number, rep) == (2, 3) else 1.0, 0.3),
    ],
)
def test_what_is_there_is_told_and_how_much_it_is(kind: str, effect: Effect, ratio: float) -> None:
    """In nineteen runs of twenty, of the right kind, and within a tenth of its size in the middle."""
    rng, runs = np.random.default_rng(3), 40
    found = [row for _ in range(runs) for row in told(run(rng, effect, n=6)) if row["kind"] == kind]
    assert len(found) >= 0.95 * runs
    assert float(np.median([row["ratio"] for row in found])) == pytest.approx(ratio, rel=0.1)
    if kind == OUTLIER:
        right = [row for row in found if (row["netdev"], row["rep"]) == ("socket", 4)]
        assert len(right) >= 0.95 * runs
    else:
        assert all(row["low"] <= row["ratio"] <= row["high"] for row in found)


def test_an_outlier_stays_in_every_answer() -> None:
    data = run(np.random.default_rng(1), lambda n, rep, _: 0.1 if (n, rep) == (0, 2) else 1.0)
    assert [row["netdev"] for row in told(data) if row["kind"] == OUTLIER] == ["tap"]
    (tap,) = (row for row in throughput(data).to_dict("records") if row["netdev"] == "tap")
    assert tap["n"] == 5 and tap["mean"] == pytest.approx(0.1**0.2, rel=0.1)


def test_too_few_values_tell_nothing() -> None:
    assert steadiness(run(np.random.default_rng(1), n=1)).empty
    assert twice(run(np.random.default_rng(1), n=1))["verdict"].tolist() == ["not known"]


def test_the_same_thing_twice_is_seldom_called_different() -> None:
    rng, runs = np.random.default_rng(8), 100
    rows = [twice(run(rng)).to_dict("records") for _ in range(runs)]
    assert all(len(found) == 1 and found[0]["n"] == 5 for found in rows)
    different = sum(found[0]["verdict"] == "different" for found in rows)
    assert different <= 0.05 * runs + 3 * (0.05 * 0.95 * runs) ** 0.5


def test_a_second_measurement_that_is_another_one_is_called_different() -> None:
    data = run(np.random.default_rng(2), lambda number, *_: 0.9 if number == len(CELLS) else 1.0, n=8)
    (row,) = twice(data).to_dict("records")
    assert row["verdict"] == "different" and row["ratio"] == pytest.approx(0.9, rel=0.03)
    assert [row[part] for part in CELL] == CELLS[0].split("+")


def test_the_second_measurement_is_no_cell_of_any_other_answer() -> None:
    found = throughput(run(np.random.default_rng(2)))
    assert sorted(found["netdev"]) == sorted(NAMES) and set(found["n"]) == {5}
