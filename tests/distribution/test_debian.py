"""Packages and sources come from Debian's own archive and land complete or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from qtrace.distribution import debian
from qtrace.errors import MissingPrerequisite


@pytest.mark.needs("qemu-system-x86_64", "dpkg-query")
def test_the_installed_qemu_has_a_source_package() -> None:
    name, version = debian.source_of(Path("/usr/bin/qemu-system-x86_64"))
    assert name == "qemu"
    assert "+b" not in version.split("-")[-1]  # a binary-only rebuild has its source's version


@pytest.mark.needs("dpkg-query")
def test_a_file_of_no_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingPrerequisite, match="does not belong to a Debian package") as caught:
        debian.source_of(tmp_path / "qemu-system-x86_64")
    assert "--source" in caught.value.hint


def test_one_line_and_deb822_sources_are_both_read(tmp_path: Path) -> None:
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (tmp_path / "sources.list").write_text(
        "# deb http://deb.debian.org/debian old main\n"
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
        " http://mirror.example/d bookworm main # x\n"
        "deb http://third.example/party stable main\n"
    )
    (parts / "more.sources").write_text(
        "Types: deb\n# a comment\nURIs: http://deb.debian.org/debian\nSuites: bookworm bookworm-updates\n"
        "Components: main\n\n"
        "Enabled: no\nTypes: deb\nURIs: http://off.example/debian\nSuites: x\nComponents: main\n"
    )
    (parts / "ignored.save").write_text("deb http://deb.debian.org/debian saved main\n")
    entries = debian._debian_entries(tmp_path)
    assert [entry.suites for entry in entries] == ["bookworm", "bookworm bookworm-updates"]
    assert "deb-src" in entries[0].stanza()
    assert "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg" in entries[0].stanza()


def test_names_that_are_not_packages_are_refused() -> None:
    for name in ("../../etc/passwd", "-oDir=/", "a b", ""):
        with pytest.raises(MissingPrerequisite, match="not the name"):
            debian.fetch_package(name)
    with pytest.raises(MissingPrerequisite, match="not the name"):
        debian.fetch_source("qemu", "1; rm")
