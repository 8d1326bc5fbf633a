"""What Fedora's tools say, as far as it can be held without Fedora."""

from __future__ import annotations

import pytest

from qtrace.distribution.base import NotListed, NotOnMirror
from qtrace.distribution.fedora import download_failure, source_package
from qtrace.errors import MissingPrerequisite


def test_a_source_rpm_is_read() -> None:
    assert source_package("qemu-9.2.4-2.fc42.src.rpm\n") == ("qemu", "9.2.4-2.fc42")
    assert source_package("libslirp-4.8.0-3.fc42.src.rpm") == ("libslirp", "4.8.0-3.fc42")
    assert source_package("gcc-c++-14.2.1-7.fc41.src.rpm")[0] == "gcc-c++"
    with pytest.raises(MissingPrerequisite, match="no-rpm"):
        source_package("no-rpm")


def test_what_dnf_says_is_told_apart() -> None:
    def failure(said: str) -> MissingPrerequisite:
        return download_failure("dnf download --source qemu-1", said, "Fedora Linux 43")

    assert isinstance(failure("No match for argument: qemu-1"), NotListed)
    assert isinstance(failure("Error: Status code: 404 for https://mirror.example/q.src.rpm"), NotOnMirror)
    assert "dnf-plugins-core" in failure("No such command: download. Please use /usr/bin/dnf --help").hint
    other = failure("Curl error (6): Could not resolve hostname")
    assert not isinstance(other, NotListed | NotOnMirror) and "Could not resolve" in str(other)
