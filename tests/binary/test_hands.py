"""Which call of the source is which of the binary, where one function is called several times."""

from __future__ import annotations

import pytest

from qtrace.binary.code.flow import Called
from qtrace.binary.recovery.handed_addresses import once, pairs


@pytest.mark.parametrize(
    ("fitting", "complete", "found"),
    [
        ({(0, 0)}, False, {(0, 0)}),
        # What is settled is no choice for the others, if there are as many.
        ({(0, 0), (1, 0), (1, 1)}, True, {(0, 0), (1, 1)}),
        ({(0, 0), (1, 0), (1, 1)}, False, set()),
        ({(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)}, True, {(0, 0), (1, 1), (2, 2)}),
        # Twins stay open, and so does what is wanted twice.
        ({(0, 0), (0, 1), (1, 0), (1, 1)}, True, set()),
        ({(0, 0), (1, 0)}, True, set()),
        ({(0, 0), (0, 1), (1, 0), (1, 1), (2, 2)}, True, {(2, 2)}),
    ],
)
def test_calls_in_pairs(fitting: set[tuple[int, int]], complete: bool, found: set[tuple[int, int]]) -> None:
    assert pairs(fitting, complete) == found


def test_a_call_that_was_made_twice_counts_once() -> None:
    first, copy, other = Called(9, {0: 1, 1: 5}), Called(9, {0: 2, 1: 5}), Called(9, {1: 6})
    assert once([first, copy, other], {1}) == [copy, other]
    assert once([first, copy, other], {0, 1}) == [first, copy, other]
