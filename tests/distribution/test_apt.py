"""What apt is configured with is read in both of its forms; what it says is told apart."""

from __future__ import annotations

from pathlib import Path

from qtrace.distribution.apt import read_failure
from qtrace.distribution.apt_sources import archives
from qtrace.distribution.base import NotListed, NotOnMirror
from qtrace.distribution.debian import Debian
from qtrace.distribution.ubuntu import Ubuntu


def test_one_line_and_deb822_sources_are_both_read(tmp_path: Path) -> None:
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (tmp_path / "sources.list").write_text(
        "# deb http://mirror.example/debian old main\n"
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
        " http://mirror.example/d bookworm main # x\n"
        "deb http://third.example/party stable main\n"
    )
    (parts / "more.sources").write_text(
        "Types: deb\n# a comment\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n"
        "Components: main\n\n"
        "Enabled: no\nTypes: deb\nURIs: http://off.example/debian\nSuites: x\nComponents: main\n"
    )
    (parts / "ignored.save").write_text("deb http://mirror.example/debian saved main\n")
    own = [archive for archive in archives(tmp_path) if Debian("Debian").own(archive)]
    assert [archive.suites for archive in own] == ["bookworm", "bookworm bookworm-updates"]
    assert "deb-src" in own[0].stanza()
    assert "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg" in own[0].stanza()


def test_ubuntus_sources(tmp_path: Path) -> None:
    """The shape of 24.04's ubuntu.sources, for amd64 and for an architecture that is on ports."""
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    key = "Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg\n"
    components = "Components: main universe restricted multiverse\n"
    for name, uri in (
        ("ubuntu", "http://archive.ubuntu.com/ubuntu/"),
        ("security", "http://security.ubuntu.com/ubuntu/"),
        ("ports", "http://ports.ubuntu.com/ubuntu-ports/"),
    ):
        suites = "noble-security" if name == "security" else "noble noble-updates noble-backports"
        (parts / f"{name}.sources").write_text(
            f"Types: deb\nURIs: {uri}\nSuites: {suites}\n{components}{key if name != 'ports' else ''}"
        )
    (parts / "docker.list").write_text("deb [arch=amd64] https://docker.example/linux/ubuntu noble stable\n")
    found = archives(tmp_path)
    assert len(found) == 4
    own = [archive for archive in found if Ubuntu("Ubuntu").own(archive)]
    assert [archive.uris.split("/")[2] for archive in own] == [
        "ports.ubuntu.com",
        "security.ubuntu.com",
        "archive.ubuntu.com",
    ]
    assert all("universe" in archive.components for archive in own)
    assert not [archive for archive in found if Debian("Debian").own(archive)]


def test_what_apt_says_is_told_apart() -> None:
    """The lines are those of apt 2.6 and 3.0, met with a mirror that lacks a file and with a version that is
    not there."""
    gone = (
        "E: Failed to fetch http://deb.example/debian/pool/main/q/qemu/qemu_11.1.3+ds.orig.tar.xz"
        "  404  Not Found [IP: 192.0.2.1 80]\nE: Failed to fetch some archives."
    )
    failure = read_failure("apt-get source qemu", gone, "Debian sid")
    assert isinstance(failure, NotOnMirror) and "qemu_11.1.3+ds.orig.tar.xz" in str(failure)
    plain = "E: Failed to fetch http://[::1]/debian/pool/a_1.deb  404  File not found [IP: ::1 80]"
    assert isinstance(read_failure("apt-get download a=1", plain, "Debian"), NotOnMirror)
    none = "E: The repository 'http://deb.example/debian nosuch Release' does not have a Release file."
    assert "have no Debian nosuch" in str(read_failure("apt-get update", none, "Debian nosuch"))
    for said in (
        "E: Version '9' for 'qemu' was not found",
        "E: Can not find version '9' of package 'qemu'\nE: Unable to find a source package for qemu",
        "E: Unable to locate package qemu-no",
        "E: No packages found",
    ):
        assert isinstance(read_failure("apt-get source qemu", said, "Debian sid"), NotListed), said
    other = read_failure("apt-get update", "E: Could not resolve 'deb.example'", "Debian sid")
    assert not isinstance(other, NotListed | NotOnMirror) and "Could not resolve" in str(other)
