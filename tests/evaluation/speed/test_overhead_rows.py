"""No cost of a hit is printed of a traffic that probing changed; an empty program's hits are the tool's."""

from __future__ import annotations

import pytest
from overhead_rows import changes_of, rows
from rounds import EMPTY_FULL, FULL, NONE, STAGES, Found, Round
from stream import SMALL, Passed

ALONE, BATCHED = 2.0, 0.3  # read and write calls a frame


def measured(rate: float, hits: float = 0.0, calls: float = ALONE) -> list[Round]:
    """Seven rounds that differ a little."""
    return [
        Round(rate * more, hits=hits * more, passed=Passed(int(rate * more), int(calls * rate * more), 1.0))
        for more in (0.98, 0.99, 1.0, 1.0, 1.0, 1.01, 1.02)
    ]


def found(full: list[Round], empty: list[Round]) -> Found:
    one = Found()
    one.rounds |= {NONE: measured(40_000), STAGES: measured(38_000, 1e5), FULL: full, EMPTY_FULL: empty}
    one.rounds = {choice: rounds for choice, rounds in one.rounds.items() if rounds}
    return one


def cells(one: Found) -> dict[str, list[str]]:
    table = [line.strip("| ").split(" | ") for line in rows(SMALL, one) if line.startswith("| ")]
    return {row[0]: row for row in table}


def test_a_slower_traffic_of_the_same_kind_has_a_cost() -> None:
    told = cells(found(measured(20_000, 1e5), measured(30_000)))
    # Half of a second is missing, of 100,000 hits in it.
    assert float(told[FULL][4]) == pytest.approx(5.0)
    # A quarter is missing, of 5 hits a frame as ours has them.
    assert told[EMPTY_FULL][3] == "150,000"
    assert float(told[EMPTY_FULL][4]) == pytest.approx(0.25e6 / 150_000, abs=0.01)


def test_another_traffic_has_none_and_says_why() -> None:
    one = found(measured(84_000, 1e5, BATCHED), measured(30_000))
    assert cells(one)[FULL][4] == "-"
    (line,) = (line for line in rows(SMALL, one) if line.startswith("With "))
    assert "probing changed the traffic" in line and "read and write calls a frame 2.0 -> 0.3" in line
    assert "frames a second 40,000 -> 84,000" in line


def test_the_same_traffic_does_not_differ() -> None:
    assert changes_of(measured(40_000), measured(40_000)) == []
