"""What is counted all the time is compared between windows with functions probed and pauses."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from counted import probe, snapshot

from qtrace.analyses.methods.traffic_change import CHANGED
from qtrace.measure.observer_effect import ObserverEffect
from qtrace.model import Direction, Role
from qtrace.trace.budget.regulator import Window
from qtrace.trace.session.snapshot import Count, Snapshot, Stage

HOST = {
    way: Stage(probe(way, Role.HOST, name, 9, "tracepoint", rule="tap"), "tracepoint")
    for way, name in ((Direction.TX, "writev"), (Direction.RX, "readv"))
}
FUNCTION = Stage(probe(Direction.TX, Role.SEND, "qemu_sendv_packet_async", 3), "uprobe")
Calls = Mapping[tuple[str, str], int]  # (name, class of its descriptor) -> calls


def counted(tx: int, rx: int, calls: Calls, seconds: float, *, host: bool = True) -> Snapshot:
    stages = [*HOST.values(), FUNCTION] if host else [FUNCTION]
    frames = {(0, 0): Count(tx, tx, 60 * tx, tx), (0, 1): Count(rx, rx, 60 * rx, rx)} if host else {}
    made = {(0, 7, name, fd): Count(number) for (name, fd), number in calls.items()}
    return snapshot(stages, frames, seconds, syscalls=made)


def effect(
    without: Calls, probed: Calls, tx: int = 1000, faster: float = 1.0, *, host: bool = True
) -> list[str]:
    """Ten windows of each; kinds of calls by how many of them 1,000 frames make."""
    found = ObserverEffect()
    for number in range(10):
        for on, calls, frames in ((True, probed, tx * faster), (False, without, tx)):
            much = 1 + number % 3 / 10  # windows differ, and all that is in them together
            made = {key: round(much * made * frames / tx) for key, made in calls.items()}
            seen = counted(round(much * frames), round(much * frames / 50), made, 0.5 * much, host=host)
            found.add(Window(0.5 * much, seen, on), seen)
    assert {row["kind"] for row in found.ledger()} <= {CHANGED}
    assert [row["item"] for row in found.ledger()] == [str(change) for change in found.changes()]
    return [str(change) for change in found.changes()]


ALONE = {("writev", "tap"): 1000, ("read", "eventfd"): 900, ("ppoll", ""): 950, ("ioctl", "other"): 20}
BATCHED = {("writev", "tap"): 1000, ("read", "eventfd"): 147, ("ppoll", ""): 150, ("ioctl", "other"): 20}


def test_the_same_traffic_is_not_called_another() -> None:
    assert effect(ALONE, ALONE) == []


def test_more_frames_a_kick_and_a_turn_are_told() -> None:
    said = effect(ALONE, BATCHED, faster=2.1)
    assert "frames a kick 1.1 -> 6.8" in said
    assert any(line.startswith("frames a turn of the loop 1.1 -> 6.8") for line in said)
    assert any(line.startswith("system calls a frame 2.8 -> 1.3") for line in said)
    assert "tx frames a second 2,000 -> 4,200" in said


@pytest.mark.parametrize("on", [True, False])
def test_windows_of_one_kind_alone_tell_nothing(on: bool) -> None:
    found = ObserverEffect()
    for _ in range(20):
        seen = counted(1000, 0, ALONE, 0.5)
        found.add(Window(0.5, seen, on), seen)
    assert found.changes() == [] and found.ledger() == []


def test_without_frames_the_rate_of_calls_is_compared() -> None:
    """As with vhost, or where no system call carries frames."""
    assert effect(ALONE, ALONE, host=False) == []
    assert effect(ALONE, {key: 3 * calls for key, calls in ALONE.items()}, host=False) == [
        "system calls a second 5,740 -> 17,220"
    ]
