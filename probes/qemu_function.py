"""QEMU's and libslirp's functions that a frame passes, hit at their entry (net/net.c, net/queue.c)."""

from __future__ import annotations

from enum import IntEnum

from qtrace.probes.family import ANY, Family, Point
from qtrace.probes.shared import Shared

__all__ = ["ARGUMENTS", "FAMILY", "NOTES", "RULES", "SENDERS", "SHARED", "Rule", "Site"]


class Rule(IntEnum):
    """What a function's arguments say of a frame, as `Probe.rule` names it."""

    CALLS = 0
    BUFFER = 1
    IOVEC = 2
    PACKET = 3
    EITHER = 4


class Site(IntEnum):
    """What a card does with its ring: it has taken there what it sends, and puts there what it is given."""

    NOTHING = 0
    SENDS = 1
    DELIVERS = 2


RULES = {rule.name.lower(): rule for rule in Rule}
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

SHARED = Shared(enums={"RULE": Rule, "SITE": Site})
FAMILY = Family(
    name="qemu_function",
    summary="entry of any function of QEMU or libslirp on the path; frames and bytes from its arguments",
    needs=("uprobes",),
    points=(Point(ANY, (("uprobe", "on_function"),)),),
    layout=("NetClientState.info", "NetClientInfo.type"),
    tables=("sites",),
)
