"""The copies of a frame on its path: which there are, and that each place has the call."""

from __future__ import annotations

import pytest

from qtrace.measure.instruments.copies import FAMILY
from qtrace.model import Direction, Path
from qtrace.path.frame_copies import COUNTED_AS, Copied, Copy, copies_on
from qtrace.path.walk import walk
from qtrace.store.index import Index

TX, RX = Direction
CASES = [(nic, netdev) for nic in ("virtio-net-pci", "e1000") for netdev in ("user", "tap", "socket")]


def path_of(index: Index, nic: str, netdev: str, direction: Direction) -> Path:
    return walk(index, nic, netdev, direction=direction)


def of_frame(index: Index, nic: str, netdev: str, direction: Direction) -> list[Copy]:
    """The copies of every frame, not of one that has to wait or is too short."""
    found = copies_on(index, path_of(index, nic, netdev, direction))
    return [copy for copy in found if copy.what in (Copied.FRAME, Copied.PIECES)]


def test_what_virtio_sends_to_a_tap_is_copied_by_the_system_call_alone(index: Index) -> None:
    (copy,) = of_frame(index, "virtio-net-pci", "tap", TX)
    assert (copy.function, copy.syscall) == ("writev", True)
    assert [place.caller for place in copy.places] == ["tap_write_packet"]


def test_what_virtio_receives_from_a_tap_is_read_and_put_into_the_guest(index: Index) -> None:
    first, *_, last = of_frame(index, "virtio-net-pci", "tap", RX)
    assert (first.function, first.syscall) == ("read", True)
    assert (last.function, last.counted_as) == ("iov_from_buf", "iov_from_buf_full")
    assert {place.caller for place in last.places} == {"virtio_net_receive_rcu"}


def test_e1000_reads_the_frame_into_a_buffer_of_its_own(index: Index) -> None:
    first, *_, last = of_frame(index, "e1000", "tap", TX)
    assert (first.function, first.counted_as) == ("pci_dma_read", "address_space_rw")
    assert {place.caller for place in first.places} == {"process_tx_desc"}
    assert (last.function, last.syscall) == ("writev", True)
    assert "pci_dma_write" in [copy.function for copy in of_frame(index, "e1000", "tap", RX)]


@pytest.mark.parametrize("netdev", ["user", "socket"])
def test_a_back_end_without_vectors_gets_one_piece(netdev: str, index: Index) -> None:
    found = of_frame(index, "virtio-net-pci", netdev, TX)
    (joined,) = [copy for copy in found if copy.what is Copied.PIECES]
    assert [place.caller for place in joined.places] == ["nc_sendv_compat"]


@pytest.mark.parametrize(("nic", "netdev"), CASES)
def test_each_place_has_the_call(nic: str, netdev: str, index: Index) -> None:
    for direction in Direction:
        path = path_of(index, nic, netdev, direction)
        found = copies_on(index, path)
        assert found and len(set(found)) == len(found)
        for copy in found:
            for place in copy.places:
                tree, file = index.place(place.file)
                lines = (tree / file).read_text(errors="replace").split("\n")
                assert f"{copy.function}(" in lines[place.line - 1], place
                (caller,) = index.function(place.caller, place.file)
                assert caller.line <= place.line <= index.end_of(place.caller, place.file)
        calls = [copy for copy in found if copy.syscall]
        assert bool(calls) == (path.boundary.kind == "syscall")


def test_what_can_be_counted_has_a_probe() -> None:
    assert {name for name in COUNTED_AS.values() if name} == {point.function for point in FAMILY.points}
