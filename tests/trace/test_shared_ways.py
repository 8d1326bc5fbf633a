"""One NIC's other way is another NIC's usual way: each has its own hits, and all of them."""

from __future__ import annotations

from counted import pair, probe, snapshot
from hypothesis import given
from hypothesis import strategies as st

from qtrace.model import Direction, Role
from qtrace.trace.qemu.owners import Owners
from qtrace.trace.session.shared_ways import SharedWay, with_shared_ways
from qtrace.trace.session.snapshot import Count, OtherWay, Snapshot, Stage

RX = Direction.RX
PIN, VECTOR, MESSAGE = "pci_set_irq", "msix_notify", "msi_notify"
SLOTS = {PIN: 0, VECTOR: 1}


def stage(function: str, reason: str = "") -> Stage:
    return Stage(probe(RX, Role.INTERRUPT, function, 5, rule="calls"), "uprobe", "", reason)


def process(old: int, pin: int, vector: int, message: int, reason: str = "") -> Snapshot:
    """e1000 (1) interrupts by its pin; e1000e (2) by its pin, MSI-X and MSI, so often each."""
    owners = Owners()
    owners.update([*pair(0x10, 0x20), *pair(0x30, 0x40)])
    first, second = (one.number for one in owners)
    assert (first, second) == (1, 2)
    by = probe(RX, Role.INTERRUPT, MESSAGE, 5, rule="calls", way_of=VECTOR)
    counts = {(1, 0): Count(old), (2, 0): Count(pin), (2, 1): Count(vector + message)}
    ways = (OtherWay(by, 1, SLOTS[VECTOR]),)
    stages = [stage(PIN), stage(VECTOR, reason)]
    return snapshot(stages, counts, owners=tuple(owners), ways=ways, way_counts={(2, 1): message})


OF_E1000E = [SharedWay(RX, Role.INTERRUPT, name, VECTOR) for name in (PIN, MESSAGE)]
numbers = st.integers(0, 10**6)


def of_e1000e(whole: Snapshot) -> Snapshot:
    return with_shared_ways(whole, whole.only([2], {("rx", VECTOR)}), OF_E1000E)


@given(numbers, numbers, numbers, numbers)
def test_each_nic_has_its_own_hits_by_all_ways(old: int, pin: int, vector: int, message: int) -> None:
    whole = process(old, pin, vector, message)
    part = of_e1000e(whole)
    assert part.total(0).calls == pin + vector + message
    rows = {row["function"]: row["calls"] for row in part.tables()["ways"]}
    assert rows == {VECTOR: vector, MESSAGE: message, PIN: pin}
    first = whole.only([1], {("rx", PIN)})
    first = with_shared_ways(whole, first, ())
    assert first.total(0).calls == old and first.tables()["ways"] == []


def test_a_way_that_is_probed_elsewhere_makes_the_stage_measured() -> None:
    """The usual way has no place in this binary; the pin has, for the other NIC's sake."""
    part = of_e1000e(process(7, 5, 0, 0, reason="not in this binary"))
    (row,) = part.tables()["stages"]
    assert (row["attached"], row["calls"]) == (True, 5)
    rows = {row["function"]: row for row in part.tables()["ways"]}
    assert rows[PIN]["calls"] == 5 and not rows[VECTOR]["attached"]


def test_what_is_counted_in_the_nic_s_own_slot_is_not_counted_twice() -> None:
    whole = process(0, 0, 3, 4)
    twice = with_shared_ways(whole, of_e1000e(whole), ())
    assert twice.total(0).calls == 7
