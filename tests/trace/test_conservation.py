"""The laws of conservation, for every subset of stages that are seen: a zero that breaks none stands."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from qtrace.trace.session.conservation import NOT_SEEN, broken_laws

TX = ("kick", "dequeue", "send", "deliver", "host", "complete", "interrupt")
RX = ("host", "send", "deliver", "enqueue", "interrupt")


def row(direction: str, stage: str, calls: int, *, how: str = "uprobe") -> dict[str, Any]:
    frames = 0 if stage in ("kick", "interrupt") else calls
    found = {"direction": direction, "stage": stage, "calls": calls, "frames": frames}
    return found | {"attached": True, "how": how}


def rows(direction: str, missing: set[str]) -> list[dict[str, Any]]:
    stages = TX if direction == "tx" else RX
    return [row(direction, stage, 0 if stage in missing else 1009) for stage in stages]


@settings(max_examples=1000, deadline=None)
@given(st.sets(st.sampled_from(("kick", "dequeue", "send", "deliver"))))
def test_what_is_missed_before_the_host_is_said_not_to_be_seen(missing: set[str]) -> None:
    told = broken_laws(rows("tx", missing))
    excused = {"kick"} if "send" in missing else set()  # how many were announced is not known then
    assert {TX[number] for number in told} == missing - excused
    assert all(why.startswith(NOT_SEEN) and "1,009" in why for why in told.values())


@settings(max_examples=200, deadline=None)
@given(st.sets(st.sampled_from(("send", "deliver", "enqueue", "interrupt"))))
def test_what_lands_was_delivered_and_the_guest_told(missing: set[str]) -> None:
    told = {RX[number] for number in broken_laws(rows("rx", missing))}
    assert ("enqueue" in told) == ("enqueue" in missing and "interrupt" not in missing)
    assert ("interrupt" in told) == ("interrupt" in missing and "enqueue" not in missing)
    assert told <= missing


def test_what_was_not_sent_is_a_true_zero() -> None:
    assert broken_laws(rows("tx", set(TX))) == {}
    assert broken_laws(rows("rx", set(RX))) == {}


def test_frames_that_the_nic_has_dropped_are_a_true_zero() -> None:
    assert broken_laws(rows("rx", {"enqueue", "interrupt"})) == {}


def test_what_vhost_carries_is_not_missing_in_qemu() -> None:
    kernel = [row("tx", stage, 1009, how="kprobe") for stage in ("kick", "deliver", "complete")]
    assert broken_laws([*rows("tx", set(TX)), *kernel]) == {}


def test_another_way_of_the_stage_is_enough() -> None:
    assert broken_laws([*rows("tx", {"kick"}), row("tx", "kick", 3)]) == {}
