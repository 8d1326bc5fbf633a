"""Walks of QEMU 10.2, each read step by step in its source.

In hw/net/: e1000e_core.c, igb_core.c, net_tx_pkt.c, vmxnet3.c, pcnet.c, pcnet-pci.c, rtl8139.c, tulip.c,
virtio-net.c; in net/: stream.c, stream_data.c, passt.c, dgram.c, l2tpv3.c, tap.c, slirp.c. The functions
between a send and the peer's callback are net/net.c's and net/queue.c's, the same in all.
"""

from __future__ import annotations

import pytest

from qtrace.errors import NoPath
from qtrace.model import Direction
from qtrace.path.catalogue import map_tree, nics
from qtrace.path.netdevs import netdev_names
from qtrace.path.walk import walk
from qtrace.store.index import Index
from qtrace.trace.qemu.layout import FIELDS

VECTOR = "qemu_net_queue_send_iov qemu_net_queue_deliver_iov qemu_deliver_packet_iov"
BUFFER = (
    "qemu_send_packet_async_with_flags qemu_net_queue_send qemu_net_queue_deliver qemu_deliver_packet_iov"
)
TO_CHANNEL = "qio_channel_writev qio_channel_writev_full qio_channel_socket_writev host:sendmsg"
FROM_CHANNEL = (
    "net_stream_data_send qio_channel_read qio_channel_readv_full qio_channel_socket_readv host:recvmsg "
    "net_stream_data_send net_fill_rstate net_stream_data_rs_finalize send:qemu_send_packet_async"
)
TO_TAP = "deliver:tap_receive_iov tap_write_packet host:writev"
VIRTIO_SEND = (
    "kick:virtio_queue_host_notifier_read virtio_queue_notify_vq virtio_net_handle_tx_bh virtio_net_tx_bh "
    "virtio_net_flush_tx dequeue:virtqueue_pop send:qemu_sendv_packet_async"
)
VIRTIO_IRQ = "virtio_notify virtio_irq virtio_notify_vector virtio_pci_notify interrupt:msix_notify"
VIRTIO_RECEIVE = (
    "deliver:virtio_net_receive virtio_net_do_receive virtio_net_receive_rcu enqueue:virtqueue_fill "
    f"{VIRTIO_IRQ}"
)

READ = {
    ("e1000e", "tap", "tx"): (
        "kick:e1000e_mmio_write e1000e_core_write e1000e_set_tdt e1000e_start_xmit dequeue:pci_dma_read "
        "e1000e_process_tx_desc e1000e_tx_pkt_send net_tx_pkt_send net_tx_pkt_send_custom net_tx_pkt_sendv "
        f"send:qemu_sendv_packet qemu_sendv_packet_async {VECTOR} {TO_TAP} "
        "e1000e_txdesc_writeback complete:pci_dma_write e1000e_set_interrupt_cause e1000e_raise_interrupts "
        "e1000e_msix_notify e1000e_msix_notify_one interrupt:msix_notify"
    ),
    ("igb", "tap", "tx"): (
        "kick:igb_mmio_write igb_core_write igb_set_tdt igb_start_xmit dequeue:pci_dma_read "
        "igb_process_tx_desc igb_tx_pkt_send igb_tx_pkt_switch net_tx_pkt_send_custom "
        f"igb_tx_pkt_vmdq_callback send:qemu_sendv_packet qemu_sendv_packet_async {VECTOR} {TO_TAP} "
        "igb_txdesc_writeback complete:pci_dma_write igb_raise_interrupts interrupt:msix_notify"
    ),
    ("igb", "tap", "rx"): (
        f"tap_send tap_read_packet host:read send:qemu_send_packet_async {BUFFER} "
        "deliver:igb_nc_receive_iov igb_receive_iov igb_receive_internal igb_write_packet_to_guest "
        "igb_pci_dma_write_rx_desc enqueue:pci_dma_write igb_raise_interrupts interrupt:msix_notify"
    ),
    ("vmxnet3", "user", "tx"): (
        "kick:vmxnet3_io_bar0_write vmxnet3_process_tx_queue vmxnet3_pop_next_tx_descr "
        "vmxnet3_ring_read_curr_txdesc vmxnet3_ring_read_curr_cell vmw_shmem_read dequeue:pci_dma_read "
        "vmxnet3_send_packet net_tx_pkt_send net_tx_pkt_send_custom net_tx_pkt_sendv "
        f"send:qemu_sendv_packet qemu_sendv_packet_async {VECTOR} nc_sendv_compat "
        "deliver:net_slirp_receive host:slirp_input vmxnet3_complete_packet vmxnet3_ring_write_curr_cell "
        "vmw_shmem_write complete:pci_dma_write vmxnet3_complete_packet vmxnet3_trigger_interrupt "
        "vmxnet3_update_interrupt_line_state _vmxnet3_assert_interrupt_line interrupt:msix_notify"
    ),
    ("pcnet", "tap", "tx"): (
        "kick:pcnet_ioport_write pcnet_ioport_writew pcnet_csr_writew pcnet_transmit "
        "pci_physical_memory_read dequeue:pci_dma_read send:qemu_send_packet qemu_send_packet_async "
        f"{BUFFER} {TO_TAP} "
        "pcnet_tmd_store pci_physical_memory_write complete:pci_dma_write pcnet_update_irq "
        "interrupt:qemu_set_irq"
    ),
    ("virtio-net-pci", "stream", "tx"): (
        f"{VIRTIO_SEND} {VECTOR} nc_sendv_compat deliver:net_stream_receive net_stream_data_receive "
        f"{TO_CHANNEL} complete:virtqueue_push {VIRTIO_IRQ}"
    ),
    ("virtio-net-pci", "stream", "rx"): (
        f"net_stream_send {FROM_CHANNEL} {BUFFER} nc_sendv_compat {VIRTIO_RECEIVE}"
    ),
    ("rtl8139", "passt", "tx"): (
        "kick:rtl8139_ioport_write rtl8139_io_writeb rtl8139_cplus_transmit rtl8139_cplus_transmit_one "
        f"dequeue:pci_dma_read rtl8139_transfer_frame send:qemu_send_packet qemu_send_packet_async {BUFFER} "
        f"nc_sendv_compat deliver:net_passt_receive net_stream_data_receive {TO_CHANNEL} "
        "complete:pci_dma_write rtl8139_update_irq interrupt:pci_set_irq"
    ),
    ("rtl8139", "passt", "rx"): (
        f"net_passt_send {FROM_CHANNEL} {BUFFER} nc_sendv_compat deliver:rtl8139_receive rtl8139_do_receive "
        "enqueue:pci_dma_write rtl8139_update_irq interrupt:pci_set_irq"
    ),
    ("tulip", "dgram", "rx"): (
        f"net_dgram_send host:recv send:qemu_send_packet_async {BUFFER} nc_sendv_compat "
        "deliver:tulip_receive_nc tulip_receive tulip_copy_rx_bytes enqueue:pci_dma_write tulip_update_int "
        "interrupt:qemu_set_irq"
    ),
    ("virtio-net-pci", "l2tpv3", "rx"): (
        "net_l2tpv3_send host:recvmmsg net_l2tpv3_process_queue send:qemu_send_packet_async "
        f"{BUFFER} nc_sendv_compat {VIRTIO_RECEIVE}"
    ),
}
# Netdevs without a path, and a word of the reason.
REASONS = {
    "hubport": "all its other ports",
    "vhost-user": "another process",
    "vhost-vdpa": "vDPA device",
    "netmap": "netmap.h",
    **dict.fromkeys(("vmnet-host", "vmnet-shared", "vmnet-bridged"), "CONFIG_VMNET"),
}


@pytest.mark.parametrize(("nic", "netdev", "way"), READ)
def test_walks_that_were_read_by_hand(newest: Index, nic: str, netdev: str, way: str) -> None:
    steps = walk(newest, nic, netdev, direction=Direction(way)).steps
    found = [f"{step.stage}:{step.function}" if step.stage else step.function for step in steps]
    assert found == READ[nic, netdev, way].split()


def test_every_pair_has_a_walk_or_a_true_reason(newest: Index) -> None:
    assert {"stream", "passt", "af-xdp", "user", "tap"} <= set(netdev_names(newest))
    walks = 0
    for nic in nics(newest):
        for netdev in netdev_names(newest):
            for direction in Direction:
                if netdev in REASONS:
                    with pytest.raises(NoPath, match=REASONS[netdev]):
                        walk(newest, nic.name, netdev, direction=direction)
                else:
                    path = walk(newest, nic.name, netdev, direction=direction)
                    assert path.boundary.kind in ("syscall", "library"), (nic.name, netdev, direction)
                    walks += 1
    assert walks == 2 * len(nics(newest)) * (len(netdev_names(newest)) - len(REASONS)) > 700


def test_a_parameter_s_call_is_certain_in_context(newest: Index) -> None:
    steps = {step.function: step for step in walk(newest, "e1000e", "tap", direction=Direction.TX).steps}
    call = steps["net_tx_pkt_sendv"].call
    assert call and call.how == "argument"  # and not by type, although igb gives another
    assert {why.file for why in call.evidence} == {"hw/net/net_tx_pkt.c"}


def test_fields_that_a_macro_declares_have_their_offsets(newest: Index) -> None:
    """include/hw/virtio/virtio-features.h: a union without a name, of the first word and the whole array."""
    fields = newest.offsets("VirtIODevice")
    assert fields["host_features"] < fields["guest_features"] < fields["backend_features"]
    assert fields["guest_features"] == fields["guest_features_ex"]
    for name in FIELDS.values():
        struct, _, field = name.partition(".")
        if field:
            assert field in newest.offsets(struct), name


def test_a_field_that_moved_into_the_struct_s_beginning_is_found(newest: Index) -> None:
    """net/stream.c: NetStreamState begins with NetStreamData, which has the channel since 10.2."""
    assert "ioc" not in newest.offsets("NetStreamState")
    assert newest.offset_of("NetStreamState", "ioc") == newest.offsets("NetStreamData")["ioc"] > 0


def test_virtio_s_other_transports_are_there(newest: Index) -> None:
    types = next(nic["types"] for nic in map_tree(newest)["nics"] if nic["name"] == "virtio-net")
    assert {"virtio-net-device", "virtio-net-pci", "virtio-net-ccw"} <= set(types)
    (doorbell,) = newest.function("virtio_queue_notify")
    callers = {newest.function_by_id(edge.caller).file for edge in newest.callers(doorbell.id)}
    assert {"hw/virtio/virtio-pci.c", "hw/virtio/virtio-mmio.c"} <= callers
    assert any(file.startswith("hw/s390x/") for file in callers)
