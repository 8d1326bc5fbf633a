"""Frames that stop for a reason that is made on purpose: the table `stops` must give this one."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from exact import OTHER_MAC, Kind, Traced, open_traced, settle, to_mac
from frames import until
from held import halted, overfill, ring

from qtrace.lab.link.connection import Network
from qtrace.lab.link.link import MAC
from qtrace.measure.attacher import Attacher
from qtrace.store.index import Index

pytestmark = pytest.mark.needs("root", "bcc", "tun", "qemu-system-x86_64")


@pytest.fixture(scope="module")
def traced(request: pytest.FixtureRequest, attacher: Attacher, index: Index) -> Iterator[Traced]:
    """The engine traces one process at a time: tests with the same guest stand side by side."""
    with open_traced(request.param, attacher, index) as traced:
        yield traced


def guest(nic: str, netdev: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("traced", [Kind(nic, netdev)], indirect=True, ids=str, scope="module")


virtio_on_tap = guest("virtio-net-pci", "tap")


def stops(traced: Traced, act: Callable[[Network], None]) -> list[tuple[str, int, str]]:
    """(stage, frames, why) of the frames to the guest that stopped in a window in which `act` is done."""
    traced.session.start()
    act(traced.network)
    settle(traced)
    traced.session.stop()
    rows: list[dict[str, Any]] = traced.session.read().tables()["stops"]
    return [(row["stage"], row["frames"], row["why"]) for row in rows if row["direction"] == "rx"]


@virtio_on_tap
def test_no_receive_buffers(traced: Traced) -> None:
    """A driver that gives no new buffers: those of the ring are used up, and the next frame waits."""
    buffers = ring(traced.network)
    with halted(traced.network):
        found = stops(traced, lambda network: overfill(network, buffers, 10))
    why = "waiting in QEMU's queue at the window's end: the NIC had no receive buffers for it"
    assert found == [("deliver", 1, why)]


@virtio_on_tap
def test_a_frame_for_another_address(traced: Traced) -> None:
    found = stops(traced, lambda network: to_mac(network, OTHER_MAC, 7))
    assert found == [("deliver", 7, "dropped by the NIC's receive filter: not its address or VLAN")]


@virtio_on_tap
def test_a_filter_that_holds_frames(traced: Traced) -> None:
    qemu = traced.network.guest
    wanted = {"qom-type": "filter-buffer", "id": "f0", "netdev": "net0", "interval": 10**9}
    qemu.qmp("object-add", **wanted)
    try:
        found = stops(traced, lambda network: to_mac(network, MAC, 5))
    finally:
        qemu.qmp("object-del", id="f0")
    why = "held or dropped by a filter: filter-buffer, on at the window's end"
    assert found == [("send", 5, why)]


@virtio_on_tap
def test_a_stopped_guest(traced: Traced) -> None:
    qemu = traced.network.guest
    qemu.qmp("stop")
    try:
        found = stops(traced, lambda network: to_mac(network, MAC, 3))
    finally:
        qemu.qmp("cont")
    # QEMU reads one frame of a tap's, and then no more.
    assert found == [("send", 1, "waiting in QEMU's queue at the window's end: the guest is stopped")]


@virtio_on_tap
def test_what_went_on_is_not_what_was_dropped(traced: Traced) -> None:
    """Some stopped for good, another waited and went on: which of them it was, the queue tells."""

    def act(network: Network) -> None:
        to_mac(network, OTHER_MAC, 7)
        settle(traced)
        network.guest.qmp("stop")
        try:
            to_mac(network, MAC, 3)
            settle(traced)
        finally:
            network.guest.qmp("cont")

    why = "dropped by the NIC's receive filter: not its address or VLAN"
    assert stops(traced, act) == [("deliver", 7, why)]
    (row,) = (row for row in traced.session.read().tables()["frames"] if row["direction"] == "rx")
    assert row["waited"] == 1


@virtio_on_tap
def test_a_guest_whose_driver_is_unbound(traced: Traced) -> None:
    """The last test of this guest: its NIC has no driver afterwards."""
    traced.network.guest.sh(
        'for d in /sys/class/net/eth0/device; do basename "$(readlink -f $d)"; done > /tmp/nic; '
        "cat /tmp/nic > /sys/bus/virtio/drivers/virtio_net/unbind"
    )
    found = stops(traced, lambda network: to_mac(network, MAC, 3))
    why = "waiting in QEMU's queue at the window's end: the NIC's receiver is off (can_receive is false)"
    assert found == [("send", 1, why)]


@guest("e1000", "tap")
def test_an_e1000_whose_interface_is_down(traced: Traced) -> None:
    qemu = traced.network.guest
    qemu.sh("ip link set eth0 down")
    try:
        found = stops(traced, lambda network: to_mac(network, MAC, 3))
    finally:
        qemu.sh("ip link set eth0 up")
    why = "waiting in QEMU's queue at the window's end: the NIC's receiver is off (can_receive is false)"
    assert found == [("send", 1, why)]


@guest("virtio-net-pci", "user")
def test_what_went_on_in_a_pause_is_not_said_to_be_lost(traced: Traced) -> None:
    """All but the last of those that wait are in the table before the probes are taken off."""

    def act(network: Network) -> None:
        before = network.device_counters()["guest"][1]["rx_packets"]
        network.guest.qmp("stop")
        try:
            with network.space.make(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as link:
                for _ in range(3):
                    link.sendto(bytes(20), network.link.sink)
            settle(traced)
            traced.session.pause()
        finally:
            network.guest.qmp("cont")
        until(lambda: network.device_counters()["guest"][1]["rx_packets"] >= before + 3, "the frames arrive")
        traced.session.resume()

    why = (
        "not delivered, and in no queue at the window's end: no filter is active, and the link is up; "
        "or it went on while the probes were off"
    )
    assert stops(traced, act) == [("send", 2, why)]


@guest("virtio-net-pci", "user")
def test_a_queue_that_is_full(traced: Traced) -> None:
    """libslirp hands on whatever comes: QEMU's queue of a stopped guest's NIC takes so many and no more."""
    network, most, beyond, burst = traced.network, 10_000, 40, 120

    def fill(network: Network) -> None:
        with network.space.make(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as link:
            for sent in range(0, most + beyond, burst):
                for _ in range(min(burst, most + beyond - sent)):
                    link.sendto(bytes(20), network.link.sink)
                settle(traced, pause=0.01)  # a burst is what the socket of libslirp's holds

    network.guest.qmp("stop")
    found = stops(traced, fill)
    assert found == [
        ("send", most, "waiting in QEMU's queue at the window's end: the guest is stopped"),
        ("send", beyond, f"dropped: QEMU's queue is full at the window's end ({most:,} frames)"),
    ]
