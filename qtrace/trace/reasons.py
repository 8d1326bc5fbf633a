"""Why frames stopped: from the stage where they did, and the state of both clients at the window's end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from qtrace.model import Direction, Probe, Role
from qtrace.trace.clients import NetClient
from qtrace.trace.owners import Owner

__all__ = ["UNDER_WAY", "WAITING", "reasons"]

UNDER_WAY = "under way when the window ended"
WAITING = "waiting in QEMU's queue"  # what every reason begins with that is no loss

_END = "at the window's end"
_QUEUED = f"{WAITING} {_END}"
_WHY = {
    (Direction.RX, Role.DELIVER): "the NIC put it nowhere: no receive buffers, or not its address",
    (Direction.TX, Role.DELIVER): "the back end did not pass it on",
    (Direction.TX, Role.DEQUEUE): "the NIC did not send it",
    (Direction.RX, Role.HOST): "it was read and not sent on",
    (Direction.TX, Role.HOST): "passed on, and not given back before the window ended",
}
_FILTERED = "taken by a filter, or dropped before it was delivered"
_LAST_RESORT = "not seen again before the window ended"


def reasons(
    slots: Mapping[int, int], probes: Sequence[Probe], owner: Owner | None, *, kernel: bool
) -> Iterator[tuple[int, str, int]]:
    """(slot, why, frames) for the frames of one owner and direction that stopped, which `slots` counts.

    The receiver's NetQueue tells how many of them wait: the first in it was refused by the receiver where
    that has told QEMU so (`receive_disabled`; it had been delivered), all others were only sent.
    """
    if owner is None or kernel:
        for slot, frames in sorted(slots.items()):
            yield slot, _by_stage(probes[slot]), frames
        return
    delivered = sum(n for slot, n in slots.items() if probes[slot].stage is Role.DELIVER)
    direction = next((probes[slot].direction for slot in slots), Direction.RX)
    sender, receiver = owner.clients[::-1] if direction is Direction.RX else owner.clients
    refused = min(delivered, receiver.queued, 1) if receiver.receive_disabled else 0
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
            yield slot, said[1], frames - waiting


def _by_stage(probe: Probe) -> str:
    if probe.stage is Role.SEND:
        return _FILTERED
    return _WHY.get((probe.direction, probe.stage or Role.KICK), _LAST_RESORT)


def _refused(receiver: NetClient) -> str:
    state = receiver.receiver
    if receiver.driver != "nic":
        return f"{_QUEUED}: the back end had no room for it"
    if state and state.refuses:
        return f"{_QUEUED}: the NIC had no receive buffers for it"
    return f"{_QUEUED}: the NIC refused it"


def _held(receiver: NetClient) -> str:
    """can_receive is false, or was when it came."""
    state = receiver.receiver
    if state and state.running is False:
        return f"{_QUEUED}: the guest is stopped"
    if receiver.receive_disabled:
        return f"{_QUEUED}: behind one that the receiver had no room for"
    if state and state.enabled is False:
        return f"{_QUEUED}: the NIC's receiver is off (can_receive is false)"
    if state and state.buffers is False:
        return f"{_QUEUED}: the NIC has no receive buffers (can_receive is false)"
    if receiver.driver == "nic" and (state is None or state.running is None):
        return f"{_QUEUED}: the NIC takes none (can_receive is false), or the guest is stopped"
    return f"{_QUEUED}: the receiver takes none now"


def _not_delivered(direction: Direction, sender: NetClient, receiver: NetClient) -> str:
    if sender.link_down or receiver.link_down:
        return f"dropped: the link is down {_END}"
    kinds = [
        item.kind or "of a kind unknown"
        for client in (sender, receiver)
        for item in client.filters
        if direction in item.directions
    ]
    if kinds:
        return f"held or dropped by a filter: {', '.join(kinds)}, on {_END}"
    if receiver.queued >= receiver.most_queued > 0:
        return f"dropped: QEMU's queue is full {_END} ({receiver.most_queued:,} frames)"
    return f"not delivered, and in no queue {_END}: no filter is on then, and the link is up"


def _not_taken(probe: Probe, receiver: NetClient) -> str:
    """It was delivered, and waits no more: the receiver has dropped it."""
    state = receiver.receiver
    if probe.direction is Direction.TX or state is None:
        return _by_stage(probe)
    if state.broken:
        return f"dropped by the NIC: its device is broken {_END}, by an error of the guest's driver"
    if state.enabled is False:
        return f"dropped by the NIC: its receiver is off {_END}"
    if not state.refuses:  # it drops what it has no room for
        return "dropped by the NIC: not its address or VLAN, or no receive buffers"
    if state.promiscuous:
        return f"dropped by the NIC: it refuses no address {_END}, so the frame did not fit its buffers"
    return "dropped by the NIC's receive filter: not its address or VLAN"
