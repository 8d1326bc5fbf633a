"""The ratio estimator: its interval covers the truth as often as it says, and sums are all that it keeps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

import pytest
from counted import counts, probe, snapshot
from hypothesis import given
from hypothesis import strategies as st

from qtrace.measure.ratio_estimator import Key, Spread, exposure_of, values
from qtrace.model import Direction, Role
from qtrace.trace.session.snapshot import Count, Snapshot, Stage

TX, RX = Direction.TX, Direction.RX
SENT: Key = ("tx", "send", "qemu_sendv_packet")
EXACT = Stage(probe(TX, Role.HOST, "writev", 1, "tracepoint", rule="tap"), "tracepoint")
FUNCTION = Stage(probe(TX, Role.SEND, "qemu_sendv_packet", 0), "uprobe")


def window(exact: int, function: int, seconds: float = 0.5, seen: int | None = None) -> Snapshot:
    """One direction: system calls that carry frames, and hits of one function."""
    calls = Count(exact, exact, 100 * exact, exact if seen is None else seen)
    return snapshot(
        [EXACT, FUNCTION], {(0, 0): calls, (0, 1): Count(function, function, 60 * function)}, seconds
    )


def spread(windows: Sequence[tuple[int, int]]) -> Spread:
    found = Spread()
    for exact, function in windows:
        found.add(0.5, window(exact, function))
    return found


class Traffic:
    """Frames in bursts: seconds differ tenfold; a frame makes one hit, sometimes none, sometimes several."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def frames(self) -> int:
        return round(1000 * math.exp(self._random.gauss(0, 0.6)))

    def hits(self, frames: int) -> int:
        """Two thirds of a hit a frame on the mean; batches make it vary more than by one at a time."""
        return max(0, round(self._random.gauss(0.66 * frames, 2.0 * math.sqrt(frames))))


@pytest.mark.parametrize("windows", [4, 12, 60])
def test_its_interval_covers_the_truth_in_95_percent_of_runs(windows: int) -> None:
    runs, covered = 1500, 0
    for seed in range(runs):
        traffic, found, truth, unseen = Traffic(seed), Spread(), 0, 0
        for _ in range(windows):
            frames = traffic.frames()
            found.add(0.5, window(frames, traffic.hits(frames)))
            frames = traffic.frames()  # a pause follows: nobody sees what the function does
            found.skip(0.5, window(frames, 0))
            unseen += frames
            truth += traffic.hits(frames)
        assert found.unseen("tx") == unseen
        error = found.errors(SENT, found.unseen("tx"))
        assert error is not None
        covered += abs(found.rates(SENT)[0] * unseen - truth) <= error[0]
    # Of a binomial with 0.95: four standard deviations.
    bound = 4 * math.sqrt(0.95 * 0.05 / runs)
    assert abs(covered / runs - 0.95) < bound


pairs = st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 10**6)), min_size=2, max_size=12)


@given(pairs, st.randoms(use_true_random=False))
def test_the_order_of_windows_does_not_matter(windows: list[tuple[int, int]], random: Random) -> None:
    mixed = list(windows)
    random.shuffle(mixed)
    one, other = spread(windows), spread(mixed)
    assert one.rates(SENT) == pytest.approx(other.rates(SENT))
    assert one.errors(SENT, 1000) == pytest.approx(other.errors(SENT, 1000), rel=1e-3, abs=1)


@given(st.lists(st.integers(1, 10**5), min_size=2, max_size=12), st.integers(0, 20))
def test_what_goes_with_the_exposure_is_known_exactly(exposures: list[int], hits: int) -> None:
    found = spread([(exact, hits * exact) for exact in exposures])
    assert found.rates(SENT) == pytest.approx((hits, hits, 60 * hits))
    error = found.errors(SENT, 1000)
    assert error is not None
    # But for rounding of numbers beyond 2^53.
    assert max(error) <= 1e-3 * max(1, 60 * hits * 1000)


@given(pairs, st.floats(0, 1e6), st.floats(0, 1e6))
def test_more_that_was_not_seen_is_known_less_well(
    windows: list[tuple[int, int]], one: float, other: float
) -> None:
    found = spread(windows)
    less, more = (found.errors(SENT, unseen) for unseen in sorted((one, other)))
    assert less is not None and more is not None
    assert all(a <= b for a, b in zip(less, more, strict=True))
    assert found.errors(SENT, 0) == (0, 0, 0)


@given(pairs)
def test_the_seen_is_given_back(windows: list[tuple[int, int]]) -> None:
    """The rate times the exposure of all windows is what was counted in them."""
    seen = sum(exact for exact, _ in windows)
    calls, frames, data = spread(windows).rates(SENT)
    counted = sum(function for _, function in windows)
    assert (calls * seen, frames * seen, data * seen) == pytest.approx((counted, counted, 60 * counted))


def test_of_one_window_there_is_a_rate_and_no_interval() -> None:
    found = spread([(100, 50)])
    assert found.rates(SENT)[0] == 0.5
    assert found.errors(SENT, 10) is None
    assert found.errors(("tx", "send", "another"), 10) is None
    assert found.rates(("rx", "send", "qemu_sendv_packet")) == (0, 0, 0)


def test_what_was_exact_while_functions_were_switched_is_not_seen() -> None:
    found = Spread()
    found.add(0.5, window(100, 90, seen=90))
    assert found.unseen("tx") == 10
    assert found.rates(SENT)[0] == 1.0


def test_without_an_exact_stage_time_is_what_a_count_goes_with() -> None:
    alone = snapshot([FUNCTION], {(0, 0): Count(30, 30, 0)}, 0.5)
    assert exposure_of(0.5, alone) == {"tx": 0.5, "rx": 0.5}
    found = Spread()
    found.add(0.5, alone)
    found.skip(2.0, alone)
    assert found.rates(SENT)[0] == 60
    assert found.unseen("tx") == 2.0


def test_an_exact_stage_that_could_not_be_attached_is_none() -> None:
    broken = Stage(EXACT.probe, "tracepoint", reason="no tracepoints here")
    assert exposure_of(3.0, snapshot([broken, FUNCTION], {}, 3.0)) == {"tx": 3.0, "rx": 3.0}
    assert exposure_of(3.0, window(7, 1)) == {"tx": 7.0, "rx": 3.0}


@given(counts)
def test_values_are_what_a_count_tells(count: Count) -> None:
    assert Count(*values(count), count.seen) == count
