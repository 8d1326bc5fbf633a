"""Interrupts by MSI, which no guest that Debian has takes from QEMU: counted, and by whose frame."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from message_interrupts import Card, open_card

from qtrace.measure.attacher import Attacher
from qtrace.measure.qemu_process import QemuProcess
from qtrace.model import Direction
from qtrace.store.index import Index
from qtrace.trace.session.session import Session

pytestmark = pytest.mark.needs("root", "bcc", "qemu-system-x86_64")


def test_each_message_is_counted_for_the_last_frames_direction(
    attacher: Attacher, index: Index, tmp_path: Path
) -> None:
    """That the card's registers are written in between, as a guest's handler does, is no frame from it."""
    with open_card(tmp_path) as card:
        card.use_messages()
        (nic,) = QemuProcess(card.pid, index=index).measured()
        with attacher.attach(card.pid, nic.paths) as session:
            session.start()
            card.interrupt(3)  # of no frame's direction
            received(card, session)
            card.interrupt(7)
            session.stop()
            tables = session.read().tables()
    interrupts = {row["direction"]: row for row in tables["stages"] if row["stage"] == "interrupt"}
    assert {way: row["calls"] for way, row in interrupts.items()} == {Direction.TX: 0, Direction.RX: 7}
    ways = {
        (row["direction"], row["function"]): row["calls"]
        for row in tables["ways"]
        if row["stage"] == "interrupt" and row["calls"]
    }
    assert ways == {(Direction.RX, "msi_notify"): 7}
    kicks = next(row for row in tables["stages"] if row["stage"] == "kick")
    assert kicks["calls"] == 10  # a write to the cause register each


def received(card: Card, session: Session) -> None:
    """A frame comes from the back end, and has been counted."""
    card.receive()
    until = time.monotonic() + 120
    while not any(row["frames"] for row in session.read().tables()["stages"]):
        assert time.monotonic() < until
        time.sleep(0.05)
