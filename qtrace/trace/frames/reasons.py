"""The reason why frames stopped: from the last stage, and the state of both clients at the window's end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from qtrace.model import Direction, Probe, Role
from qtrace.trace.qemu.net_clients import NetClient
from qtrace.trace.qemu.owners import Owner

__all__ = [
    "BEHIND_ANOTHER",
    "BY_FILTER",
    "CANNOT_RECEIVE",
    "GUEST_STOPPED",
    "LINK_DOWN",
    "NOT_ITS_ADDRESS",
    "NO_BUFFERS",
    "NO_ROOM",
    "UNDER_WAY",
    "WAITING",
    "reasons",
    "without_gone",
]

UNDER_WAY = "under way when the window ended"
WAITING = "waiting in QEMU's queue"  # the beginning of every reason that is not a loss
# Parts of reasons, by which a diagnosis finds them in a run (qtrace/diagnosis).
GUEST_STOPPED = "the guest is stopped"
CANNOT_RECEIVE = "(can_receive is false)"
NO_BUFFERS = "the NIC had no receive buffers for it"
NO_ROOM = "the back end had no room for it"
BEHIND_ANOTHER = "behind one that the receiver had no room for"
LINK_DOWN = "the link is down"
BY_FILTER = "held or dropped by a filter"
NOT_ITS_ADDRESS = "not its address or VLAN"

_END = "at the window's end"
_QUEUED = f"{WAITING} {_END}"
_WHY = {
    (Direction.RX, Role.DELIVER): "the NIC did not store it: no receive buffers, or not its address",
    (Direction.TX, Role.DELIVER): "the back end did not pass it on",
    (Direction.TX, Role.DEQUEUE): "the NIC did not send it",
    (Direction.RX, Role.HOST): "it was read and not sent on",
    (Direction.TX, Role.HOST): "passed on, and not completed before the window ended",
}
_FILTERED = "taken by a filter, or dropped before it was delivered"
_DROPPED = "dropped by the NIC"
_MERGEABLE, _COALESCED = 15, 61  # VIRTIO_NET_F_MRG_RXBUF, VIRTIO_NET_F_RSC_EXT
_PAUSED = "; or it went on while the probes were off"
_LAST_RESORT = "not seen again before the window ended"


def reasons(
    slots: Mapping[int, int], probes: Sequence[Probe], owner: Owner | None, *, kernel: bool, paused: bool
) -> Iterator[tuple[int, str, int]]:
    """(slot, why, frames) for the stopped frames of one owner and direction, which `slots` counts.

    The receiver's NetQueue has the number of waiting frames. If the receiver has told QEMU that it refuses
    (`receive_disabled`), the first frame in the queue was delivered to it; all others were only sent.
    """
    if owner is None or kernel:
        for slot, frames in sorted(slots.items()):
            yield slot, _by_stage(probes[slot]), frames
        return
    direction = next((probes[slot].direction for slot in slots), Direction.RX)
    sender, receiver = _ends(direction, owner)
    refused = _head(slots, probes, receiver)
    queued = receiver.queued - refused
    for slot, frames in sorted(slots.items()):
        stage = probes[slot].stage
        if stage is Role.DELIVER:
            waiting, refused = min(frames, refused), max(refused - frames, 0)
            said = _refused(receiver), _not_taken(probes[slot], receiver)
        elif stage is Role.SEND:
            waiting, queued = min(frames, queued), max(queued - frames, 0)
            said = _held(receiver), _not_delivered(direction, sender, receiver)
        else:
            waiting, said = 0, ("", _by_stage(probes[slot]))
        if waiting:
            yield slot, said[0], waiting
        if frames > waiting:
            yield slot, said[1] + (_PAUSED if paused else ""), frames - waiting


def without_gone(
    slots: Mapping[int, int], gone: int, probes: Sequence[Probe], owner: Owner | None
) -> dict[int, int] | None:
    """`slots` without `gone` frames that went on, of which the stage where they had stopped is unknown; None
    if it cannot be derived.

    Sent frames that neither wait now nor can be lost have gone on; then refused frames.
    """
    stages = [probes[slot].stage for slot in slots]
    if owner is None or sorted(map(str, stages)) != sorted(map(str, (Role.SEND, Role.DELIVER))):
        return None
    direction = probes[next(iter(slots))].direction
    sender, receiver = _ends(direction, owner)
    if _lost(direction, sender, receiver):
        return None
    left = dict(slots)
    queued = receiver.queued - _head(slots, probes, receiver)
    for slot in sorted(slots, key=lambda slot: probes[slot].stage is not Role.SEND):
        sent = probes[slot].stage is Role.SEND
        went = min(gone, max(0, left[slot] - queued) if sent else left[slot])
        left[slot] -= went
        gone -= went
    return None if gone else {slot: frames for slot, frames in left.items() if frames}


def _ends(direction: Direction, owner: Owner) -> tuple[NetClient, NetClient]:
    """(sender, receiver)"""
    near, far = owner.clients
    return (far, near) if direction is Direction.RX else (near, far)


def _head(slots: Mapping[int, int], probes: Sequence[Probe], receiver: NetClient) -> int:
    """1 if the first frame of the receiver's queue was delivered and refused, else 0."""
    delivered = sum(frames for slot, frames in slots.items() if probes[slot].stage is Role.DELIVER)
    return min(delivered, receiver.queued, 1) if receiver.receive_disabled else 0


def _by_stage(probe: Probe) -> str:
    if probe.stage is Role.SEND:
        return _FILTERED
    return _WHY.get((probe.direction, probe.stage or Role.KICK), _LAST_RESORT)


def _refused(receiver: NetClient) -> str:
    state = receiver.receiver
    if receiver.driver != "nic":
        return f"{_QUEUED}: {NO_ROOM}"
    if state and state.refuses:
        return f"{_QUEUED}: {NO_BUFFERS}"
    return f"{_QUEUED}: the NIC refused it"


def _held(receiver: NetClient) -> str:
    """The reason that can_receive is false, or was when the frame came."""
    state = receiver.receiver
    if state and state.running is False:
        return f"{_QUEUED}: {GUEST_STOPPED}"
    if receiver.receive_disabled:
        return f"{_QUEUED}: {BEHIND_ANOTHER}"
    if state and state.enabled is False:
        return f"{_QUEUED}: the NIC's receiver is off {CANNOT_RECEIVE}"
    if state and state.buffers is False:
        return f"{_QUEUED}: the NIC has no receive buffers {CANNOT_RECEIVE}"
    if receiver.driver == "nic" and (state is None or state.running is None):
        return f"{_QUEUED}: the NIC takes none {CANNOT_RECEIVE}, or {GUEST_STOPPED}"
    return f"{_QUEUED}: the receiver takes none now"


def _not_delivered(direction: Direction, sender: NetClient, receiver: NetClient) -> str:
    if said := _lost(direction, sender, receiver):
        return said
    return f"not delivered, and in no queue {_END}: no filter is active, and the link is up"


def _lost(direction: Direction, sender: NetClient, receiver: NetClient) -> str:
    """Why a sent frame would neither be delivered nor queued now; empty if there is no such cause."""
    if sender.link_down or receiver.link_down:
        return f"dropped: {LINK_DOWN} {_END}"
    kinds = [
        item.kind or "of a kind unknown"
        for client in (sender, receiver)
        for item in client.filters
        if direction in item.directions
    ]
    if kinds:
        return f"{BY_FILTER}: {', '.join(kinds)}, on {_END}"
    if receiver.queued >= receiver.most_queued > 0:
        return f"dropped: QEMU's queue is full {_END} ({receiver.most_queued:,} frames)"
    return ""


def _not_taken(probe: Probe, receiver: NetClient) -> str:
    """The reason for a frame that was delivered and no longer waits: the receiver dropped it."""
    state = receiver.receiver
    if probe.direction is Direction.TX or state is None:
        return _by_stage(probe)
    if state.broken:
        return f"{_DROPPED}: its device is broken {_END}, by an error of the guest's driver"
    if state.enabled is False:
        return f"{_DROPPED}: its receiver is off {_END}"
    if not state.refuses:  # it drops frames for which it has no room
        return f"{_DROPPED}: {NOT_ITS_ADDRESS}, or no receive buffers"
    features = receiver.features or 0
    causes = [] if state.promiscuous else [NOT_ITS_ADDRESS]
    if not features >> _MERGEABLE & 1:
        causes.append("larger than its buffers")
    if features >> _COALESCED & 1:
        causes.append("not dropped, but joined with others for the guest")
    if causes == [NOT_ITS_ADDRESS]:
        return f"{_DROPPED}'s receive filter: {causes[0]}"
    return f"{_DROPPED}: {', or '.join(causes) or f'the reason is unknown, it refuses no address {_END}'}"
