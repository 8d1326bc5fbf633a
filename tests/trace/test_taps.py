"""Taps as the kernel describes them, in the network namespace of the process that holds them."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qtrace.lab.host.netns import Namespace, open_namespace
from qtrace.lab.link.macvtap import open_macvtap
from qtrace.lab.link.tap import open_queues, open_tap
from qtrace.probes.syscalls import Descriptor
from qtrace.trace.qemu.taps import read_taps
from qtrace.trace.qemu.target import Target

pytestmark = pytest.mark.needs("root", "tun")


@pytest.fixture
def space() -> Iterator[Namespace]:
    with open_namespace() as space:
        yield space


def holder(space: Namespace, *descriptors: int) -> subprocess.Popen[bytes]:
    """A process in the namespace that holds the descriptors."""
    process = subprocess.Popen(space.argv(["sleep", "600"]), pass_fds=descriptors)
    until = time.monotonic() + 120
    while not Path(f"/proc/{process.pid}/ns/net").samefile(space.path):
        assert time.monotonic() < until
        time.sleep(0.01)
    return process


def test_a_tap_as_it_is_made_and_as_it_is_set(space: Namespace) -> None:
    with open_tap(space, "plain", header=False) as tap:
        process = holder(space, tap.fd)
        try:
            (made,) = read_taps(process.pid)
            for words in (("mtu", "1400"), ("txqueuelen", "7"), ("gso_max_segs", "2"), ("up",)):
                space.ip("link", "set", "dev", "plain", *words)
            space.ip("address", "add", "192.0.2.1/24", "dev", "plain")
            (now,) = read_taps(process.pid)
        finally:
            process.kill()
            process.wait()
    assert (made.name, made.descriptors, made.unread) == ("plain", (tap.fd,), "")
    assert (made.header, made.queues, made.up) == (False, False, False)
    assert (made.mtu, made.queue_length) == (1500, 1000)
    assert (made.master, made.addressed, made.cut_at) == ("", False, 65536)
    assert (now.up, now.mtu, now.queue_length, now.addressed, now.cut_at) == (True, 1400, 7, True, 2800)


def test_several_queues_in_a_bridge(space: Namespace) -> None:
    with open_queues(space, "queued", 2) as queues:
        space.ip("link", "add", "br0", "type", "bridge")
        space.ip("link", "set", "dev", "queued", "master", "br0")
        process = holder(space, *queues)
        try:
            (tap,) = read_taps(process.pid)
        finally:
            process.kill()
            process.wait()
    assert (tap.header, tap.queues, tap.master) == (True, True, "br0")
    assert tap.descriptors == tuple(sorted(queues))


def test_a_macvtap_is_said_to_be_unread(space: Namespace) -> None:
    """Beside a tap, whose state is read as ever."""
    with open_macvtap(space, "host0") as macvtap, open_tap(space, "plain") as tap:
        process = holder(space, macvtap, tap.fd)
        try:
            plain, other = read_taps(process.pid)
            classes = Target(process.pid).descriptors()
        finally:
            process.kill()
            process.wait()
    assert (plain.name, plain.mtu, plain.unread) == ("plain", 1500, "")
    assert (other.name, other.descriptors, other.mtu, other.up) == ("macvtap", (macvtap,), None, None)
    assert other.unread == (
        f"how the macvtap of descriptor {macvtap} stood: /proc does not name its interface"
    )
    assert {number for number, found in classes.items() if found is Descriptor.TAP} == {macvtap, tap.fd}


def packet_socket(space: Namespace, protocol: int, device: str) -> socket.socket:
    made = space.make(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol)))
    made.bind((device, 0))
    return made


def test_who_reads_a_tap_or_its_bridge_raw(space: Namespace) -> None:
    """Not who reads another device, every device, or frames that have no such checksum."""
    me = f"{Path('/proc/self/comm').read_text().strip()} ({os.getpid()})"
    with open_tap(space, "read") as tap:
        for name in ("br0", "br1"):
            space.ip("link", "add", name, "type", "bridge")
        space.ip("link", "set", "dev", "read", "master", "br0")
        process = holder(space, tap.fd)
        try:
            with packet_socket(space, 0x0003, "br1"), packet_socket(space, 0x88CC, "read"):
                assert read_taps(process.pid)[0].readers == ()
            for device, protocol in (("read", 0x0003), ("br0", 0x0800)):
                with packet_socket(space, protocol, device):
                    assert read_taps(process.pid)[0].readers == (me,)
            assert read_taps(process.pid)[0].readers == ()
        finally:
            process.kill()
            process.wait()


def test_a_tap_of_another_namespace_is_said_to_be_there(space: Namespace) -> None:
    """This process holds the descriptor, and its own namespace does not have the device."""
    with open_tap(space, "elsewhere"):
        (tap,) = (tap for tap in read_taps(os.getpid()) if tap.name == "elsewhere")
    assert tap.header is None and tap.up is None
    assert tap.unread == "its device is in another network namespace"


def test_a_process_that_is_gone_has_none() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert read_taps(gone.pid) == ()
