"""Why frames stopped: from the state of both clients when the window ended."""

from __future__ import annotations

from collections import Counter

import pytest
from counted import client, owner, probe
from hypothesis import given
from hypothesis import strategies as st

from qtrace.model import Direction, Role
from qtrace.trace.frames.reasons import WAITING, reasons, without_gone
from qtrace.trace.qemu.net_clients import NetClient
from qtrace.trace.qemu.owners import Owner
from qtrace.trace.qemu.receiver import Filter, Receiver

RX, TX = Direction.RX, Direction.TX
SEND, DELIVER = 0, 1  # slots
VIRTIO_NET_F_MRG_RXBUF = 1 << 15


def probes(direction: Direction) -> list:
    roles = (Role.SEND, Role.DELIVER, Role.HOST, Role.KICK)
    return [probe(direction, role, f"{role}_{direction}", slot) for slot, role in enumerate(roles)]


def of(nic: dict[str, object] | None = None, back: dict[str, object] | None = None) -> Owner:
    """A NIC and a tap in these states."""
    near = client(1, "nic", 2, **{"most_queued": 10_000, **(nic or {})})
    return owner(near, client(2, "tap", 1, **{"most_queued": 10_000, **(back or {})}))


def why(slots: dict[int, int], direction: Direction, mine: Owner | None, **more: bool) -> list[tuple]:
    keywords = {"kernel": False, "paused": False} | more
    return [
        (slot, said, frames) for slot, said, frames in reasons(slots, probes(direction), mine, **keywords)
    ]


states = st.builds(
    Receiver,
    *(st.sampled_from((None, True, False)) for _ in range(4)),
    st.booleans(),
    st.booleans(),
)


@st.composite
def clients(draw: st.DrawFn) -> tuple[NetClient, NetClient]:
    found = []
    for at, driver, peer in ((1, "nic", 2), (2, "tap", 1)):
        kinds = draw(st.lists(st.sampled_from(("filter-buffer", "")), max_size=2))
        found.append(
            client(
                at,
                driver,
                peer,
                queued=draw(st.integers(0, 9)),
                most_queued=draw(st.sampled_from((0, 8, 100))),
                link_down=draw(st.booleans()),
                receive_disabled=draw(st.booleans()),
                filters=tuple(
                    Filter(kind, draw(st.sampled_from(((RX,), (TX,), (RX, TX))))) for kind in kinds
                ),
                receiver=draw(st.none() | states) if driver == "nic" else None,
                features=draw(st.none() | st.integers(0, 2**62)),
            )
        )
    return found[0], found[1]


stopped = st.dictionaries(st.integers(0, 3), st.integers(1, 20))


@given(stopped, st.sampled_from((RX, TX)), clients(), st.booleans(), st.booleans())
def test_every_frame_has_one_reason(
    slots: dict[int, int],
    direction: Direction,
    pair: tuple[NetClient, NetClient],
    kernel: bool,
    paused: bool,
) -> None:
    found = why(slots, direction, owner(*pair), kernel=kernel, paused=paused)
    told: Counter[int] = Counter()
    for slot, said, frames in found:
        assert said and frames > 0
        told[slot] += frames
    assert told == Counter(slots)
    receiver = pair[0] if direction is RX else pair[1]
    waits = sum(frames for _, said, frames in found if said.startswith(WAITING))
    assert waits <= receiver.queued


@given(stopped, st.integers(0, 30), st.sampled_from((RX, TX)), clients())
def test_those_that_went_on_are_taken_away_once(
    slots: dict[int, int], gone: int, direction: Direction, pair: tuple[NetClient, NetClient]
) -> None:
    left = without_gone(slots, gone, probes(direction), owner(*pair))
    if left is None:
        return
    assert slots.keys() == {SEND, DELIVER}
    assert sum(left.values()) == sum(slots.values()) - gone
    assert all(0 < left[slot] <= slots[slot] for slot in left)


def test_what_waits_in_the_queue_did_not_go_on() -> None:
    waiting = of(nic={"queued": 4})
    assert without_gone({SEND: 6, DELIVER: 2}, 2, probes(RX), waiting) == {SEND: 4, DELIVER: 2}
    assert without_gone({SEND: 6, DELIVER: 2}, 3, probes(RX), waiting) == {SEND: 4, DELIVER: 1}
    lost = of(nic={"queued": 4, "link_down": True})  # they may have been dropped
    assert without_gone({SEND: 6, DELIVER: 2}, 2, probes(RX), lost) is None


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"receiver": Receiver(running=False)}, "the guest is stopped"),
        ({"receive_disabled": True}, "behind one that the receiver had no room for"),
        ({"receiver": Receiver(enabled=False)}, "receiver is off"),
        ({"receiver": Receiver(buffers=False)}, "no receive buffers (can_receive"),
        ({"receiver": None}, "takes none (can_receive is false), or the guest is stopped"),
        ({"receiver": Receiver(running=True)}, "the receiver takes none now"),
    ],
)
def test_a_frame_that_was_sent_and_waits(state: dict[str, object], said: str) -> None:
    mine = of(nic={"queued": 3, **state})
    ((_, text, frames),) = why({SEND: 3}, RX, mine)
    assert text.startswith(WAITING) and said in text and frames == 3


@pytest.mark.parametrize(
    ("nic", "back", "said"),
    [
        ({"link_down": True}, {}, "the link is down"),
        ({}, {"link_down": True}, "the link is down"),
        ({}, {"filters": (Filter("filter-buffer", (RX,)),)}, "by a filter: filter-buffer"),
        ({}, {"filters": (Filter("", (RX, TX)),)}, "by a filter: of a kind unknown"),
        ({}, {"filters": (Filter("filter-buffer", (TX,)),)}, "in no queue"),
        ({}, {}, "in no queue"),
    ],
)
def test_a_frame_that_was_sent_and_waits_nowhere(
    nic: dict[str, object], back: dict[str, object], said: str
) -> None:
    ((_, text, _),) = why({SEND: 2}, RX, of(nic, back))
    assert said in text and not text.startswith(WAITING)


def test_what_a_full_queue_did_not_take_is_dropped() -> None:
    mine = of(nic={"queued": 5, "most_queued": 5})
    found = why({SEND: 8}, RX, mine)
    assert [frames for _, _, frames in found] == [5, 3]
    assert "queue is full" in found[1][1]


@pytest.mark.parametrize(
    ("state", "features", "said"),
    [
        (Receiver(broken=True), None, "its device is broken"),
        (Receiver(enabled=False), None, "its receiver is off"),
        (Receiver(enabled=True), None, "not its address or VLAN, or no receive buffers"),
        (Receiver(refuses=True), VIRTIO_NET_F_MRG_RXBUF, "receive filter: not its address or VLAN"),
        (Receiver(refuses=True, promiscuous=True), 0, "larger than its buffers"),
        (Receiver(refuses=True, promiscuous=True), VIRTIO_NET_F_MRG_RXBUF, "the reason is unknown"),
        (Receiver(refuses=True, promiscuous=True), VIRTIO_NET_F_MRG_RXBUF | 1 << 61, "joined with others"),
    ],
)
def test_a_frame_that_was_delivered_and_dropped(state: Receiver, features: int | None, said: str) -> None:
    ((_, text, _),) = why({DELIVER: 1}, RX, of(nic={"receiver": state, "features": features}))
    assert text.startswith("dropped by the NIC") and said in text


def test_the_first_of_the_queue_was_refused_and_the_others_only_sent() -> None:
    mine = of(nic={"queued": 3, "receive_disabled": True, "receiver": Receiver(refuses=True)})
    found = why({SEND: 2, DELIVER: 1}, RX, mine)
    assert [(slot, frames) for slot, _, frames in found] == [(SEND, 2), (DELIVER, 1)]
    assert all(text.startswith(WAITING) for _, text, _ in found)
    assert "no receive buffers" in found[1][1]


def test_the_back_end_that_had_no_room() -> None:
    mine = of(back={"queued": 1, "receive_disabled": True})
    ((_, text, _),) = why({DELIVER: 1}, TX, mine)
    assert text.startswith(WAITING) and "the back end had no room" in text


def test_the_direction_tells_whose_queue_it_is() -> None:
    mine = of(nic={"queued": 2})
    assert why({SEND: 2}, RX, mine)[0][1].startswith(WAITING)
    assert not why({SEND: 2}, TX, mine)[0][1].startswith(WAITING)


def test_a_window_with_pauses_says_that_it_may_have_missed_the_rest() -> None:
    said = why({SEND: 2}, RX, of(), paused=True)[0][1]
    assert said.endswith("; or it went on while the probes were off")
    assert said.removesuffix("; or it went on while the probes were off") == why({SEND: 2}, RX, of())[0][1]


@pytest.mark.parametrize("mine", [None, of(nic={"queued": 9})])
def test_the_kernels_frames_and_nobodys_are_told_by_their_stage(mine: Owner | None) -> None:
    found = why({SEND: 1, DELIVER: 2}, RX, mine, kernel=True)
    assert [frames for _, _, frames in found] == [1, 2]
    assert not any(text.startswith(WAITING) for _, text, _ in found)


def test_a_hubs_owner_is_told_like_a_nics() -> None:
    port = client(1, "hubport", 2, hub=0, queued=2)
    mine = owner(port, client(2, "tap", 1))
    assert why({SEND: 2}, RX, mine)[0][1] == f"{WAITING} at the window's end: the receiver takes none now"
