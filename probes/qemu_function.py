"""Functions of QEMU and libslirp that a frame passes, probed at their entry (net/net.c, net/queue.c)."""

from __future__ import annotations

from enum import IntEnum

from qtrace.probes.family import ANY, Family, Point
from qtrace.probes.shared import Shared

__all__ = ["ARGUMENTS", "FAMILY", "NOTES", "RULES", "SENDERS", "SHARED", "Rule", "Site"]


class Rule(IntEnum):
    """How the handler reads a frame from a function's arguments, named by `Probe.rule`."""

    CALLS = 0
    BUFFER = 1
    IOVEC = 2
    PACKET = 3
    EITHER = 4


class Site(IntEnum):
    """The use of a card's ring at a stage: it takes frames to send from the ring, or puts received ones
    there."""

    NOTHING = 0
    SENDS = 1
    DELIVERS = 2


RULES = {rule.name.lower(): rule for rule in Rule}
# The number of a function's first arguments that the handler reads.
ARGUMENTS = {"calls": 1, "buffer": 3, "iovec": 3, "packet": 3, "either": 1}
NOTES = {"either": "called in both directions: a call counts for the direction of the thread's last stage"}
# net/net.c, net/queue.c: functions of both directions -> the argument that is the sending client.
SENDERS = {
    **dict.fromkeys(("qemu_send_packet", "qemu_send_packet_async", "qemu_send_packet_raw"), 1),
    **dict.fromkeys(("qemu_sendv_packet", "qemu_sendv_packet_async"), 1),
    **dict.fromkeys(("qemu_send_packet_async_with_flags", "qemu_deliver_packet_iov"), 1),
    **dict.fromkeys(("qemu_net_queue_send", "qemu_net_queue_send_iov"), 2),
    **dict.fromkeys(("qemu_net_queue_deliver", "qemu_net_queue_deliver_iov"), 2),
}

SHARED = Shared(enums={"RULE": Rule, "SITE": Site})
FAMILY = Family(
    name="qemu_function",
    summary="entry of any function of QEMU or libslirp on the path; frames and bytes from its arguments",
    needs=("uprobes",),
    points=(Point(ANY, (("uprobe", "on_function"),)),),
    layout=("NetClientState.info", "NetClientInfo.type"),
    tables=("sites",),
)
