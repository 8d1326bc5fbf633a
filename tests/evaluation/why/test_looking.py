"""What was measured of `qtrace why` beside `qtrace record`, against what is promised of it."""

from __future__ import annotations

import pytest
from looking import PAIRS, Looked, kept
from paired import median_ratio
from stream import SMALL, TCP


def test_both_kinds_of_traffic_were_measured() -> None:
    assert [one.traffic for one in kept()] == [TCP, SMALL]


@pytest.mark.parametrize("looked", kept(), ids=lambda one: one.traffic)
def test_why_costs_the_guest_no_more_than_record(looked: Looked) -> None:
    """The traffic is not slower while it looks, as far as so many pairs can tell."""
    ratio = median_ratio(looked.pairs)
    assert ratio.n == PAIRS and ratio.high >= 1 and ratio.mean > 0.95


@pytest.mark.parametrize("looked", kept(), ids=lambda one: one.traffic)
def test_why_ends_within_two_seconds_of_its_window(looked: Looked) -> None:
    assert len(looked.after) == PAIRS and max(looked.after) < 2
