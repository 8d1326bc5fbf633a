"""A call that crosses a stage is covered by a way of it, or told."""

from __future__ import annotations

from crossings import Crossed, Where, crossings, section
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


def crossed(index: Index, nic: str, found: dict[Call, int], netdev: str = "tap") -> dict[Where, Crossed]:
    inside = {call: number for call, number in found.items() if call[1][1]}
    return crossings(index, nic, netdev, Seen(inside, 0, dict(found.items() - inside.items())))


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
    found = crossed(index, "e1000", calls(index, *SENT))
    assert {stage: (one.covered, one.all) for stage, one in found.items()} == {
        (TX, Role.KICK): (10, 10),
        (TX, Role.SEND): (10, 10),
        (TX, Role.DELIVER): (10, 10),
        (RX, Role.INTERRUPT): (10, 10),
    }


def test_a_write_that_sends_nothing_is_no_kick(index: Index) -> None:
    assert crossed(index, "e1000", calls(index, ("e1000_mmio_write", "set_ims"))) == {}
    assert crossed(index, "e1000", calls(index, SENT[0])) == {}


def test_a_doorbell_is_a_kick_by_its_bottom_half(index: Index) -> None:
    """The main loop calls it: no call leads from the doorbell to the send."""
    pairs = (
        ("virtio_queue_host_notifier_read", "virtio_queue_notify_vq"),
        ("virtio_queue_notify_vq", "virtio_net_handle_tx_bh"),
        ("virtio_net_handle_tx_bh", "qemu_bh_schedule"),
        ("virtio_net_tx_bh", "virtio_net_flush_tx"),
        ("virtio_net_flush_tx", "qemu_sendv_packet_async"),
    )
    kick = (TX, Role.KICK)
    assert crossed(index, "virtio-net-pci", calls(index, *pairs))[kick].covered == 10
    assert kick not in crossed(index, "virtio-net-pci", calls(index, *pairs[:3]))


MEMORY = (
    ("pcnet_transmit", "qemu_send_packet"),
    ("qemu_deliver_packet_iov", "pcnet_receive"),
    ("pcnet_transmit", "pci_physical_memory_write"),
    ("pcnet_receive", "pci_physical_memory_write"),
    ("pci_physical_memory_write", "pci_dma_write"),
)


def test_the_host_is_reached_by_a_helper_of_the_netdev(index: Index) -> None:
    pairs = (
        ("net_socket_receive", "iov_send_recv"),
        ("iov_send_recv", "do_send_recv"),
        ("do_send_recv", "sendmsg"),
        ("net_socket_send", "recv"),
    )
    found = crossed(index, "e1000", calls(index, *pairs), "socket")
    assert {where: one.covered for where, one in found.items()} == {(TX, Role.HOST): 10, (RX, Role.HOST): 10}
    # Another's, too: whose it is cannot be known.
    found = crossed(index, "e1000", calls(index, *pairs, ("net_dgram_receive", "iov_send_recv")), "socket")
    assert (TX, Role.HOST) not in found


def test_a_library_hands_a_frame_over_by_its_callback(index: Index) -> None:
    pairs = (
        ("net_slirp_poll_notify", "slirp_pollfds_poll"),
        ("net_slirp_send_packet", "qemu_send_packet"),
    )
    found = crossed(index, "e1000", calls(index, *pairs), "user")[RX, Role.HOST]
    assert (found.covered, found.all) == (10, 10)
    # What has read its frame itself is not called back.
    pairs = (("vde_to_qemu", "vde_recv"), ("vde_to_qemu", "qemu_send_packet"))
    found = crossed(index, "e1000", calls(index, *pairs), "vde")[RX, Role.HOST]
    assert (found.covered, found.all) == (10, 10)


def test_a_helper_of_both_directions_is_told_by_its_callers(index: Index) -> None:
    observed = calls(index, *MEMORY)
    last = list(observed)[-1]
    found = crossed(index, "pcnet", observed | {last: 20})
    assert "either" not in found
    assert (found[TX, Role.COMPLETE].covered, found[RX, Role.ENQUEUE].covered) == (10, 10)
    # Called more often than it reaches memory: for whom cannot be known.
    found = crossed(index, "pcnet", observed | {last: 15})
    assert found["either"].covered == 15 and (TX, Role.COMPLETE) not in found
    text = section(
        index, Observed(index.meta["qemu"], 1, {"pcnet on tap": Seen(observed | {last: 15}, 0, {})})
    )
    assert "| either | guest memory | 15 | 15 | 100% |" in text
    assert "| pcnet on tap | 10/10 | 10/10 | 15/15 |" in text


def test_what_no_way_covers_is_told(index: Index) -> None:
    """e1000 raises its interrupt by its pin only: an MSI-X message of it would be missed."""
    wrong = calls(index, ("set_interrupt_cause", "msix_notify"))
    (one,) = crossed(index, "e1000", wrong).values()
    assert (one.covered, one.all) == (0, 10)
    text = section(index, Observed(index.meta["qemu"], 1, {"e1000 on tap": Seen(wrong, 0, {})}))
    assert "| rx | interrupt | 10 | 0 | 0% |" in text
    assert "rx interrupt: `set_interrupt_cause`" in text and "10 calls, with e1000 on tap" in text
