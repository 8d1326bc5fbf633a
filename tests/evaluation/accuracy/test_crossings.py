"""A call that crosses a stage is covered by a way of it, or told."""

from __future__ import annotations

from crossings import crossings, section
from observe import Call, Function, Seen
from observed import Observed

from qtrace.model import Direction, Role
from qtrace.store.index import Index

TX, RX = Direction.TX, Direction.RX


def function(index: Index, name: str) -> Function:
    row = index.function(name)[0]
    return row.name, row.file


def calls(index: Index, *pairs: tuple[str, str]) -> dict[Call, int]:
    return {(function(index, first), function(index, second)): 10 for first, second in pairs}


SENT = (
    ("e1000_mmio_write", "set_tctl"),
    ("set_tctl", "start_xmit"),
    ("start_xmit", "process_tx_desc"),
    ("process_tx_desc", "xmit_seg"),
    ("xmit_seg", "e1000_send_packet"),
    ("e1000_send_packet", "qemu_send_packet"),
    ("qemu_deliver_packet_iov", "tap_receive_iov"),
    ("set_interrupt_cause", "pci_set_irq"),
)


def test_what_a_walk_knows_is_covered(index: Index) -> None:
    found, untold = crossings(index, "e1000", "tap", calls(index, *SENT))
    assert not untold
    assert {stage: (one.covered, one.all) for stage, one in found.items()} == {
        (TX, Role.KICK): (10, 10),
        (TX, Role.SEND): (10, 10),
        (TX, Role.DELIVER): (10, 10),
        (RX, Role.INTERRUPT): (10, 10),
    }


def test_a_write_that_sends_nothing_is_no_kick(index: Index) -> None:
    assert crossings(index, "e1000", "tap", calls(index, ("e1000_mmio_write", "set_ims")))[0] == {}
    assert crossings(index, "e1000", "tap", calls(index, SENT[0]))[0] == {}


def test_what_no_way_covers_is_told(index: Index) -> None:
    """e1000 raises its interrupt by its pin only: an MSI-X message of it would be missed."""
    wrong = calls(index, ("set_interrupt_cause", "msix_notify"))
    (crossed,) = crossings(index, "e1000", "tap", wrong)[0].values()
    assert (crossed.covered, crossed.all) == (0, 10)
    text = section(index, Observed(index.meta["qemu"], 1, {"e1000 on tap": Seen(wrong, 0)}))
    assert "| rx | interrupt | 10 | 0 | 0% |" in text
    assert "rx interrupt: `set_interrupt_cause`" in text and "10 calls, with e1000 on tap" in text
