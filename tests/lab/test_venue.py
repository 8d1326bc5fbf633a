"""The venue is the one that this machine's own state calls for, and its reason names what is missing."""

import os

import pytest

from qtrace.errors import MissingPrerequisite
from qtrace.lab.machine.venue import choose_venue, inside_machine, missing_on_host


@pytest.mark.needs("qemu-system-x86_64", "busybox", "setpriv", "bcc")
def test_auto_follows_what_is_missing() -> None:
    venue, missing = choose_venue("auto"), missing_on_host()
    assert venue.name == ("vm" if missing else "host")
    assert all(item in venue.reason for item in missing)


@pytest.mark.needs("qemu-system-x86_64", "busybox", "setpriv", "bcc")
def test_the_machine_can_always_be_asked_for() -> None:
    assert choose_venue("vm").name == "vm"


@pytest.mark.needs("root", "bcc", "tun")
def test_a_host_that_is_asked_for_is_taken_and_what_it_lacks_is_said() -> None:
    venue = choose_venue("host")
    assert venue.name == "host" and venue.reason.startswith("asked for")
    assert all(item in venue.reason for item in missing_on_host())


def test_a_host_without_bcc_is_refused_with_every_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qtrace.lab.machine.venue.find_bcc", lambda: False)
    missing = missing_on_host()
    assert "no bcc" in missing
    with pytest.raises(MissingPrerequisite) as caught:
        choose_venue("host")
    assert all(item in str(caught.value) for item in missing)
    assert "--venue vm" in caught.value.hint


def test_missing_devices_are_named() -> None:
    assert ("no /dev/vhost-net" in missing_on_host()) == (not os.access("/dev/vhost-net", os.R_OK | os.W_OK))


def test_inside_nothing_is_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QTRACE_VENUE", "vm")
    assert inside_machine()
    assert choose_venue("host").name == "vm"


def test_an_unknown_venue_is_refused() -> None:
    with pytest.raises(MissingPrerequisite, match="cloud"):
        choose_venue("cloud")
