"""Faults by which frames stop, wait or are lost."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Generator

from bed import Act, Bed, Form
from exact import OTHER_MAC, to_mac
from fault import fault
from held import halted, overfill, ring
from passing import answers, chat, frames_to, restore_tap, set_link, tcp_sum_is_right

from qtrace.lab.link.link import MAC


def _with_link_down(bed: Bed, full: bool, name: str) -> Generator[Act, None, None]:
    set_link(bed, name, False)
    if not full:
        set_link(bed, name, True)
        answers(bed)
    try:
        yield lambda bed: to_mac(bed.network, MAC, 20) if full else chat(bed)
    finally:
        set_link(bed, name, True)
        answers(bed)


# Links, guests and their drivers.


@fault("link-is-down", "QMP set_link of the NIC: off", "off, and on again before the window")
def nic_down(bed: Bed, full: bool) -> Generator[Act, None, None]:
    yield from _with_link_down(bed, full, "nic0")


@fault("link-is-down", "QMP set_link of the netdev: off", "off, and on again before the window")
def netdev_down(bed: Bed, full: bool) -> Generator[Act, None, None]:
    yield from _with_link_down(bed, full, "net0")


@fault("link-is-down", "ip link set tap0 down", "down, and up again before the window")
def tap_down(bed: Bed, full: bool) -> Generator[Act, None, None]:
    bed.network.space.ip("link", "set", "tap0", "down")
    if not full:
        restore_tap(bed)
    try:
        yield chat
    finally:
        restore_tap(bed)
        answers(bed)


@fault("guest-stopped", "QMP stop, and frames for the guest", "stopped, and gone on before the window")
def stopped(bed: Bed, full: bool) -> Generator[Act, None, None]:
    bed.network.guest.qmp("stop")
    if not full:
        bed.network.guest.qmp("cont")
    try:
        yield lambda bed: to_mac(bed.network, MAC, 20) if full else chat(bed)
    finally:
        bed.network.guest.qmp("cont")


@fault(
    "guest-silent",
    "its processor is held by ptrace, and more frames come than its ring has buffers",
    "half of the ring's frames come, and it goes on",
)
def silent(bed: Bed, full: bool) -> Generator[Act, None, None]:
    buffers = ring(bed.network)
    with contextlib.ExitStack() as stack:

        def act(bed: Bed) -> None:
            overfill(bed.network, buffers, 20 if full else -buffers // 2)

        if full:
            stack.enter_context(halted(bed.network))
            yield act
            return
        with halted(bed.network):
            act(bed)
        yield chat


@fault("receiver-off", "an e1000 whose interface is down in the guest", "down, and up again", Form("e1000"))
def interface_down(bed: Bed, full: bool) -> Generator[Act, None, None]:
    bed.network.guest.sh("ip link set eth0 down")
    if not full:
        _interface_up(bed)
    try:
        yield lambda bed: to_mac(bed.network, MAC, 30) if full else chat(bed)
    finally:
        _interface_up(bed)


@fault(
    "receiver-off",
    "an e1000e, whose registers are not read, with its interface down in the guest",
    "down, and up again",
    Form("e1000e"),
)
def unread_interface_down(bed: Bed, full: bool) -> Generator[Act, None, None]:
    yield from interface_down(bed, full)


def _interface_up(bed: Bed) -> None:
    link = bed.network.link
    bed.network.guest.sh(
        f"ip link set eth0 up; /bin/ip neigh replace {link.host_addr} lladdr {link.host_mac} dev eth0 "
        "nud permanent"
    )
    answers(bed)


# Filters and addresses.


@fault("address-refused", "300 frames for another address", "one frame in ten is for another")
def other_address(bed: Bed, full: bool) -> Generator[Act, None, None]:
    def act(bed: Bed) -> None:
        for _ in range(15 if full else 2):
            to_mac(bed.network, OTHER_MAC, 20 if full else 5)
            time.sleep(0.05)
        if not full:
            chat(bed, 50)
            frames_to(bed, 60)

    yield act


def _filtered(bed: Bed, wanted: dict[str, object], act: Act) -> Generator[Act, None, None]:
    bed.network.guest.qmp("object-add", id="f0", netdev="net0", **wanted)
    try:
        yield act
    finally:
        bed.network.guest.qmp("object-del", id="f0")


@fault(
    "filter-holds",
    "filter-buffer that holds both directions for good",
    "a filter-dump that lets all pass",
)
def buffered(bed: Bed, full: bool) -> Generator[Act, None, None]:
    if full:
        yield from _filtered(bed, {"qom-type": "filter-buffer", "interval": 10**9}, _both)
    else:
        yield from _filtered(bed, {"qom-type": "filter-dump", "file": "/dev/null"}, chat)


@fault(
    "filter-holds",
    "filter-buffer that holds what goes to the guest",
    "filter-buffer that holds it for a millisecond",
)
def buffered_one_way(bed: Bed, full: bool) -> Generator[Act, None, None]:
    # What the netdev itself sends is `tx` in a filter's words.
    interval = 10**9 if full else 1000
    wanted = {"qom-type": "filter-buffer", "interval": interval, "queue": "tx"}
    yield from _filtered(bed, wanted, _both if full else chat)


def _both(bed: Bed) -> None:
    to_mac(bed.network, MAC, 20)
    chat(bed, 5)


# The tap, its queue and its place.


@fault(
    "tap-drops",
    "txqueuelen 4, bursts of 300 frames",
    "txqueuelen 600, the same bursts",
)
def short_queue(bed: Bed, full: bool) -> Generator[Act, None, None]:
    _queue_length(bed, 4 if full else 600)

    def act(bed: Bed) -> None:
        for _ in range(12):
            to_mac(bed.network, MAC, 300 if full else 200)
            time.sleep(0.15)

    try:
        yield act
    finally:
        _queue_length(bed, 1000)


def _queue_length(bed: Bed, length: int) -> None:
    bed.network.space.ip("link", "set", "tap0", "txqueuelen", str(length))


@fault(
    "buffers-short",
    "the guest's processor is held for 0.2 s, again and again, while more frames come than its ring "
    "has buffers",
    "the same with half as many frames as it has buffers",
    seconds=4.0,
)
def short_ring(bed: Bed, full: bool) -> Generator[Act, None, None]:
    buffers = ring(bed.network)

    def act(bed: Bed) -> None:
        for _ in range(8):
            with halted(bed.network):
                overfill(bed.network, buffers, 40 if full else -buffers // 2)
                time.sleep(0.2)
            time.sleep(0.2)

    yield act


@fault("mtu-differs", "the tap's MTU is 9000, the guest's 1500", "9000, and 1500 again before the window")
def wide_tap(bed: Bed, full: bool) -> Generator[Act, None, None]:
    yield from _with_mtu(bed, full, 9000)


@fault("mtu-differs", "the tap's MTU is 1400, the guest's 1500", "1400, and 1500 again before the window")
def narrow_tap(bed: Bed, full: bool) -> Generator[Act, None, None]:
    yield from _with_mtu(bed, full, 1400)


@fault(
    "mtu-differs",
    "host_mtu=9000 on a tap of 1500",
    "host_mtu=9000 on a tap of 9000",
    Form("virtio-net-pci,host_mtu=9000"),
)
def told_too_much(bed: Bed, full: bool) -> Generator[Act, None, None]:
    yield from _with_mtu(bed, True, 1500 if full else 9000)


def _with_mtu(bed: Bed, stays: bool, mtu: int) -> Generator[Act, None, None]:
    def give(number: int) -> None:
        bed.network.space.ip("link", "set", "tap0", "mtu", str(number))

    give(mtu)
    if not stays:
        give(1500)
    try:
        yield chat
    finally:
        give(1500)


@fault(
    "checksums-left",
    "a program reads the tap from a packet socket, and the guest opens connections",
    "the same with csum=off on the line",
    near_form=Form("virtio-net-pci,csum=off"),
)
def read_raw(bed: Bed, full: bool) -> Generator[Act, None, None]:
    space, address = bed.network.space, bed.network.link.host_addr
    everything = socket.htons(0x0003)  # ETH_P_ALL
    with space.make(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, everything)) as reader:
        reader.bind(("tap0", 0))
        reader.settimeout(60)
        yield lambda bed: bed.network.guest.try_sh(
            f"for n in $(seq 20); do nc -w 1 {address} 7 </dev/null >/dev/null 2>&1; done"
        )
        sums = [
            right for right in (tcp_sum_is_right(reader.recv(2048)) for _ in range(20)) if right is not None
        ]
        assert sums and set(sums) == {not full}, sums


@fault("tap-alone", "the tap has no address and no bridge", "it has its address; nobody answers the guest")
def alone(bed: Bed, full: bool) -> Generator[Act, None, None]:
    def act(bed: Bed) -> None:
        bed.network.guest.sh("(arping -q -c 3 -w 3 -I eth0 192.168.76.77 >/dev/null 2>&1 &); true")
        chat(bed, 15)

    if full:
        bed.network.space.ip("address", "flush", "dev", "tap0")
    try:
        yield act
    finally:
        restore_tap(bed)
        answers(bed)
