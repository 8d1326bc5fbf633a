"""Frames that pass QEMU's hub (net/hub.c), from their first stage to their last."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from exact import FRAMES, Kind, Traced, open_traced, pass_frames, wrong

from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.link.connection import open_network
from qtrace.measure.attacher import Attacher
from qtrace.model import Direction
from qtrace.path.walk import walk
from qtrace.store.index import Index
from qtrace.trace.session.engine import open_engine

pytestmark = pytest.mark.needs("root", "bcc", "tun", "qemu-system-x86_64")

KINDS = (Kind("virtio-net-pci", "tap", hub=True), Kind("e1000", "user", hub=True))


@pytest.fixture(scope="module", params=KINDS, ids=str)
def traced(request: pytest.FixtureRequest, attacher: Attacher, index: Index) -> Iterator[Traced]:
    with open_traced(request.param, attacher, index) as traced:
        yield traced


@pytest.mark.parametrize("direction", list(Direction))
def test_every_frame_is_followed_through_a_hub_of_two_ports(traced: Traced, direction: Direction) -> None:
    window = pass_frames(traced, direction)
    assert not wrong(window)
    (row,) = (row for row in window.followed if row["direction"] == direction.value)
    # From the side of the hub that the frame came from to the other one.
    ends = {"tx": ("dequeue", "send", "complete", "host"), "rx": ("host", "send", "enqueue", "deliver")}
    first, last = ends[direction.value][:2], ends[direction.value][2:]
    assert row["from_stage"] in first and row["to_stage"] in last
    assert (row["frames"], row["matched"]) == (FRAMES, FRAMES)
    # How long it took through the hub is known of each.
    tables = traced.session.read().tables()
    through = [
        edge["count"]
        for edge in tables["edges"]
        if (edge["direction"], edge["from_stage"], edge["to_stage"]) == (direction.value, "send", "deliver")
    ]
    assert sum(through) == FRAMES
    assert not tables["stops"] and not tables["waits"]


def test_at_a_hub_of_three_ports_each_side_is_followed_alone(index: Index) -> None:
    """What a hub repeats to several has no one last stage; nothing is said to be lost."""
    kind = Kind("virtio-net-pci", "tap", hub=True)
    paths = [walk(index, kind.nic, kind.netdev, direction=way) for way in Direction]
    more = ("-netdev", "user,id=third,restrict=on", "-netdev", "hubport,id=port2,hubid=0,netdev=third")
    with (
        open_network(kind.nic, kind.netdev, "qemu", choose_accelerator(), hub=True, more=more) as network,
        open_engine() as engine,  # the other one serves the guest of the fixture
        Attacher(engine, index).attach(network.guest.pid, paths) as session,
    ):
        traced = Traced(kind, network, session)
        followed = {way: pass_frames(traced, way).followed for way in Direction}
    seen = {
        (way.value, row["direction"], row["netdev_id"], row["from_stage"], row["to_stage"]): row
        for way, rows in followed.items()
        for row in rows
    }
    for key in (
        ("tx", "tx", "net0", "dequeue", "complete"),
        ("tx", "tx", "behind", "deliver", "host"),
        ("rx", "rx", "behind", "host", "send"),
        ("rx", "rx", "net0", "deliver", "enqueue"),
    ):
        row = seen[key]
        assert (row["frames"], row["matched"]) == (FRAMES, FRAMES), key
    assert not any(row["ambiguous"] or row["unmatched"] for row in seen.values())
