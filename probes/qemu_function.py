"""QEMU's and libslirp's functions that a frame passes, hit at their entry (net/net.c, net/queue.c)."""

from __future__ import annotations

from qtrace.probes.family import ANY, Family, Point

__all__ = ["ARGUMENTS", "FAMILY", "NOTES", "RULES", "SENDERS"]

# Kept equal to the enum in qemu_function.bpf.c.
RULES = {"calls": 0, "buffer": 1, "iovec": 2, "packet": 3, "either": 4}
# How many of a function's first arguments the handler reads.
ARGUMENTS = {"calls": 1, "buffer": 3, "iovec": 3, "packet": 3, "either": 1}
NOTES = {"either": "called both ways: a call belongs to the direction of the thread's last stage"}
# net/net.c, net/queue.c: functions of both directions, and which argument is the client that sends.
SENDERS = {
    **dict.fromkeys(("qemu_send_packet", "qemu_send_packet_async", "qemu_send_packet_raw"), 1),
    **dict.fromkeys(("qemu_sendv_packet", "qemu_sendv_packet_async"), 1),
    **dict.fromkeys(("qemu_send_packet_async_with_flags", "qemu_deliver_packet_iov"), 1),
    **dict.fromkeys(("qemu_net_queue_send", "qemu_net_queue_send_iov"), 2),
    **dict.fromkeys(("qemu_net_queue_deliver", "qemu_net_queue_deliver_iov"), 2),
}

FAMILY = Family(
    name="qemu_function",
    summary="entry of any function of QEMU or libslirp on the path; frames and bytes from its arguments",
    needs=("uprobes",),
    points=(Point(ANY, (("uprobe", "on_function"),)),),
    layout=("NetClientState.info", "NetClientInfo.type"),
)
