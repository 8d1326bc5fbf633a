"""When interrupts that were counted and interrupts that a guest took may differ, and it is recorded again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from accounts import Account
from machines import Machine

PIN, MESSAGE = "10 IO-APIC 10-fasteoi eth0", "24 PCI-MSI 32768-edge eth0"


def account(counted: int, taken: int, line: str, frames: int = 12, model: str = "tulip") -> Account:
    rows: list[dict[str, Any]] = [
        {"direction": "tx", "stage": stage, "attached": True, "calls": calls, "frames": calls, "note": ""}
        for stage, calls in (("send", frames), ("interrupt", counted))
    ]
    tables = {"stages": rows, "ways": [], "ledger": []}
    return Account(Machine(model, model), tables, pings=12, sent=12, received=12, lines={line: taken})


@pytest.mark.parametrize(
    ("counted", "taken", "line", "unclear"),
    [
        (20, 20, PIN, False),
        (20, 20, MESSAGE, False),
        (19, 20, PIN, True),  # the pin was still up when the guest had ended its interrupt
        (20, 19, PIN, True),  # two before the guest took the first
        (20, 19, MESSAGE, True),
        (19, 20, MESSAGE, False),  # each message is an edge: one is missing
    ],
)
def test_it_is_recorded_again_where_the_guest_may_count_otherwise(
    counted: int, taken: int, line: str, unclear: bool
) -> None:
    said = account(counted, taken, line)
    assert said.unclear == unclear
    assert said.wrong() == ([] if counted == taken else [f"interrupt {counted} of {taken}"])


@pytest.mark.parametrize(
    ("counted", "taken", "line", "right"),
    [
        (19, 20, PIN, True),
        (24, 18, PIN, True),
        (24, 18, MESSAGE, True),
        (19, 20, MESSAGE, False),
        (0, 25, PIN, False),
        (50, 25, MESSAGE, False),
    ],
)
def test_the_last_time_each_request_and_each_answer_may_differ(
    counted: int, taken: int, line: str, right: bool
) -> None:
    said = replace(account(counted, taken, line), recordings=5)
    assert (said.wrong() == []) == right


def test_frames_that_passed_while_counting_began_may_be_counted() -> None:
    said = replace(account(20, 20, PIN, frames=13), beside=(1, 0, 0))
    assert said.wrong() == []
    assert replace(said, beside=(0, 1, 0)).wrong() == ["tx send 13 of 12"]


def test_not_where_something_else_is_wrong() -> None:
    said = account(19, 20, PIN, frames=11)
    assert said.wrong() == ["tx send 11 of 12", "interrupt 19 of 20"] and not said.unclear


def test_a_card_whose_pin_is_known_to_rise_twice_is_not_asked_again() -> None:
    said = account(24, 12, PIN, model="rtl8139")
    assert said.wrong() == [] and not said.unclear
