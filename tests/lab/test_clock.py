"""An emulated guest's clock is the host's, however busy the host is while it boots."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import NoReturn

import pytest

from qtrace.lab.guest.clock import Reading, clock_fault, counter_words, read_clock, tsc_khz
from qtrace.lab.link.connection import open_network


def test_the_counter_is_measured_the_same_each_time(skip_or_fail: Callable[[str], NoReturn]) -> None:
    first = tsc_khz()
    if first is None:
        skip_or_fail("this host has no time-stamp counter that can be read")
    tsc_khz.cache_clear()
    again = tsc_khz()
    assert first and again and abs(first - again) / first < 0.001
    assert 100_000 < first < 10_000_000
    assert counter_words("tcg") == f" tsc_early_khz={again}" and counter_words("kvm") == ""


@pytest.mark.parametrize(
    ("guest", "host", "wrong"),
    [
        (2.0, 2.0, False),
        (2.05, 2.0, False),
        (1.95, 2.0, False),
        (1.02, 0.57, True),
        (1.16, 0.33, True),
        (1, 2, True),
    ],
)
def test_a_clock_is_held_against_the_hosts(guest: float, host: float, wrong: bool) -> None:
    before, after = Reading(100.0, 7.0, 7.01), Reading(100.0 + guest, 7.0 + host, 7.01 + host)
    assert bool(clock_fault(before, after)) == wrong
    # An answer that came late leaves the moment open.
    late = Reading(after.guest, before.earliest, after.latest + guest)
    assert not clock_fault(before, late)


@pytest.mark.long
@pytest.mark.needs("root", "tun", "ip", "setpriv", "busybox", "qemu-system-x86_64")
def test_a_guest_that_boots_on_a_busy_host_has_the_right_time() -> None:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    try:
        with open_network("virtio-net-pci", "tap", "qemu", "tcg") as network:
            before = read_clock(network.guest.sh)
            time.sleep(1.5)
            assert clock_fault(before, read_clock(network.guest.sh)) == ""
            assert "tsc_early_khz=" in network.guest.sh("cat /proc/cmdline")
    finally:
        for one in busy:
            one.kill()
            one.wait()
