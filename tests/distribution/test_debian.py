"""Packages and sources come from an archive of Debian's kind, and land complete or not at all; what an
archive lacks is told apart from lists that are too old."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from archive import ArchiveOfOurs, serve_archive

from qtrace.cache import cache_dir
from qtrace.distribution.base import NotListed, NotOnMirror
from qtrace.distribution.debian import Debian, depends_on
from qtrace.errors import MissingPrerequisite

pytestmark = pytest.mark.needs("apt-get", "dpkg-query", "dpkg-source", "dpkg-scanpackages")


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchiveOfOurs]:
    monkeypatch.setenv("QTRACE_CACHE", str(tmp_path / "cache"))
    with serve_archive(tmp_path) as served:
        yield served


@pytest.fixture
def debian(archive: ArchiveOfOurs, tmp_path: Path) -> Debian:
    here = Debian("Debian of ours")
    here.etc = tmp_path / "etc"
    here.etc.mkdir()
    (here.etc / "sources.list").write_text(f"deb [trusted=yes] {archive.url} here main\n")
    return here


def grow_old() -> None:
    """The lists were read long ago."""
    os.utime(cache_dir("apt") / "sources" / "qtrace.sources", (0, 0))


class Told:
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def step(self, text: str) -> None:
        pass

    def done(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.mark.needs("qemu-system-x86_64")
def test_the_installed_qemu_has_a_source_package() -> None:
    name, version = Debian("Debian").source_of(Path("/usr/bin/qemu-system-x86_64"))
    assert name == "qemu"
    assert "+b" not in version.split("-")[-1]  # a binary-only rebuild has its source's version


def test_a_file_of_no_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingPrerequisite, match="does not belong to a package of Debian") as caught:
        Debian("Debian").source_of(tmp_path / "qemu-system-x86_64")
    assert "--source" in caught.value.hint


def test_names_that_are_not_packages_are_refused() -> None:
    for name in ("../../etc/passwd", "-oDir=/", "a b", ""):
        with pytest.raises(MissingPrerequisite, match="not the name"):
            Debian("Debian").fetch_package(name)
    with pytest.raises(MissingPrerequisite, match="not the name"):
        Debian("Debian").fetch_source("qemu", "1; rm")


def test_a_package_is_unpacked_once(archive: ArchiveOfOurs, debian: Debian) -> None:
    file = archive.package("thing", "1.0", {"usr/share/thing/a": b"first"})
    archive.list()
    home = debian.fetch_package("thing")
    assert (home / "usr/share/thing/a").read_bytes() == b"first" and home.name == "thing_1.0"
    file.unlink()
    assert debian.fetch_package("thing") == home


def test_another_release_has_its_own_version_whatever_is_installed(
    archive: ArchiveOfOurs, debian: Debian
) -> None:
    """As for Debian 12's QEMU on Debian 13."""
    archive.package("dpkg", "0.1-1", {"usr/share/ours": b"older"})
    archive.list()
    assert debian.installed("dpkg") > "0.1-1"
    home = debian.fetch_package("dpkg", suite="here")
    assert home.name == "dpkg_0.1-1" and (home / "usr/share/ours").read_bytes() == b"older"
    with pytest.raises(NotListed):
        debian.fetch_package("dpkg", version="0.2-1", suite="here")


def test_a_qemu_is_unpacked_with_all_that_it_runs_with(archive: ArchiveOfOurs, debian: Debian) -> None:
    """Into a folder that can be its root; nothing of it is installed, and what only looks after a system is
    not fetched."""
    files = {"qemu-system-x86": "usr/bin/qemu-system-x86_64", "util-linux": "usr/bin/setpriv"}
    files |= {"libours": "lib/libours.so.1", "seabios": "usr/share/bios", "passwd": "usr/sbin/useradd"}
    for name, path in files.items():
        depends = "libours, seabios, passwd" if name == "qemu-system-x86" else ""
        archive.package(name, "1:10.0-1", {path: name.encode(), "usr/share/doc/x": b"read"}, depends)
    archive.list()
    root = debian.unpack_qemu("here")
    assert root.name == "here_1_10.0-1"
    assert (root / "usr/bin/qemu-system-x86_64").read_bytes() == b"qemu-system-x86"
    assert (
        (root / "lib/libours.so.1").read_bytes() == (root / "usr/lib/libours.so.1").read_bytes() == b"libours"
    )
    assert (root / "bin/setpriv").is_file() and (root / "usr/share/bios").is_file()
    assert not (root / "usr/sbin").exists() and not (root / "usr/share/doc").exists()
    assert {"proc", "dev", "sys", "run", "tmp", "old"} <= {path.name for path in root.iterdir()}
    listed = sorted((root / "packages").read_text().split())
    assert listed == sorted(f"{name}_1_10.0-1" for name in files if name != "passwd")
    (archive.root / "dists").rename(archive.root / "gone")  # nothing is asked for again
    assert debian.unpack_qemu("here") == root
    with pytest.raises(MissingPrerequisite):
        debian.unpack_qemu("nowhere")
    assert not list(root.parent.glob("nowhere*"))


def test_a_file_that_the_mirror_lists_and_lacks(archive: ArchiveOfOurs, debian: Debian) -> None:
    file = archive.package("thing", "1.0", {"usr/share/thing/a": b""})
    archive.list()
    file.unlink()
    with pytest.raises(NotOnMirror, match=r"\(404\).*thing_1\.0_all\.deb"):
        debian.fetch_package("thing")
    assert not [path for path in cache_dir("packages").iterdir() if path.name.startswith("thing")]


def test_lists_that_are_too_old_are_read_again(archive: ArchiveOfOurs, debian: Debian) -> None:
    archive.package("thing", "1.0", {"usr/share/thing/a": b""})
    archive.list()
    debian.fetch_package("thing")
    (archive.pool / "thing_1.0_all.deb").unlink()
    archive.package("thing", "2.0", {"usr/share/thing/a": b"second"})
    archive.list()
    with pytest.raises(NotListed):  # read a moment ago, so they are not read again
        debian.fetch_package("thing", version="2.0")
    grow_old()
    assert debian.fetch_package("thing", version="2.0").name == "thing_2.0"


def test_a_version_that_has_left_the_archive(archive: ArchiveOfOurs, debian: Debian) -> None:
    archive.package("thing", "2.0", {"usr/share/thing/a": b""})
    archive.source("tree", "2.0")
    archive.list()
    with pytest.raises(NotListed, match=r"do not have it") as caught:
        debian.fetch_source("tree", "1.0")
    assert "apt-get update" in caught.value.hint and "--source TREE" in caught.value.hint


@pytest.mark.slow
def test_a_mirror_that_is_gone_is_told_from_lists_that_are_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QTRACE_CACHE", str(tmp_path / "cache"))
    debian = Debian("Debian of ours")
    debian.etc = tmp_path
    with serve_archive(tmp_path) as archive:
        (tmp_path / "sources.list").write_text(f"deb [trusted=yes] {archive.url} here main\n")
        archive.package("thing", "1.0", {"usr/share/thing/a": b""})
        archive.list()
        debian.fetch_package("thing")
    grow_old()
    with pytest.raises(MissingPrerequisite, match="cannot be read again"):
        debian.fetch_package("thing", version="2.0")
    with pytest.raises(MissingPrerequisite) as caught:
        debian.fetch_source("tree", "1.0", suite="there")
    assert not (tmp_path / "cache/apt-there").exists()
    assert "mirrors can be reached" in caught.value.hint


def test_the_newest_source_that_can_be_had(archive: ArchiveOfOurs, debian: Debian) -> None:
    archive.source("tree", "1:9.2.4")
    archive.source("tree", "1:10.2.2")
    newest = archive.source("tree", "1:11.1.3")
    archive.list()
    next(path for path in newest if ".tar." in path.name).unlink()
    told = Told()
    tree = debian.fetch_newest_source("tree", "here", told)
    assert (tree / "VERSION").read_text() == "1:10.2.2\n"
    assert len(told.warnings) == 1 and "11.1.3" in told.warnings[0] and "404" in told.warnings[0]


def test_no_archive_of_debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QTRACE_CACHE", str(tmp_path / "cache"))
    debian = Debian("Debian of ours")
    debian.etc = tmp_path
    (tmp_path / "sources.list").write_text("deb http://third.example/party stable main\n")
    with pytest.raises(MissingPrerequisite, match="no archive of Debian of ours is named") as caught:
        debian.fetch_package("thing")
    assert "--source TREE" in caught.value.hint
    assert "no archive of Debian" in debian.fetch_refused()


def test_a_kernel_in_one_package_and_in_several(
    archive: ArchiveOfOurs, debian: Debian, tmp_path: Path
) -> None:
    """Debian 12's and 13's are one package; sid's (since 7.0) and Ubuntu's are image and modules."""
    release = "7.2.13+deb14-amd64"
    own = f"linux-base-{release} (= 1), linux-binary-{release} (= 1), linux-modules-{release} (= 1)"
    archive.package("linux-image-amd64", "1", {}, f"linux-base-amd64 (= 1), linux-image-{release} (= 1)")
    archive.package(f"linux-image-{release}", "1", {}, f"dracut | linux-initramfs-tool, {own}")
    archive.package(f"linux-base-{release}", "1", {f"boot/config-{release}": b"c"})
    archive.package(f"linux-binary-{release}", "1", {f"boot/vmlinuz-{release}": b"image"})
    archive.package(f"linux-modules-{release}", "1", {f"usr/lib/modules/{release}/modules.order": b"m"})
    archive.list()
    assert debian.kept_kernel() is None
    kernel = debian.kernel()
    assert kernel.release == release and kernel == debian.kept_kernel()
    assert (kernel.home / f"boot/vmlinuz-{release}").read_bytes() == b"image"
    assert (kernel.home / f"usr/lib/modules/{release}/modules.order").read_bytes() == b"m"


def test_a_kernel_whose_kept_answer_has_left_the_archive(archive: ArchiveOfOurs, debian: Debian) -> None:
    for number in ("1", "2"):
        release = f"6.12.{number}+deb13-amd64"
        archive.package("linux-image-amd64", number, {}, f"linux-image-{release} (= {number})")
        files = {f"boot/vmlinuz-{release}": b"i", f"usr/lib/modules/{release}/modules.order": b""}
        archive.package(f"linux-image-{release}", number, files, "kmod, linux-base (>= 4.3~)")
        archive.list()
        if number == "1":
            assert debian.kernel().release == release
            for path in [*archive.pool.iterdir(), cache_dir("packages") / f"linux-image-{release}_1"]:
                path.rename(path.with_name(f"gone-{path.name}")) if path.is_dir() else path.unlink()
            grow_old()
    assert debian.kernel().release == "6.12.2+deb13-amd64"


def test_headers_in_two_packages(archive: ArchiveOfOurs, debian: Debian) -> None:
    release, common = "6.12.117+deb13-amd64", "linux-headers-6.12.117+deb13-common"
    archive.package("linux-headers-amd64", "1", {}, f"linux-headers-{release} (= 1)")
    for name, files in (
        (f"linux-headers-{release}", {"include/own.h": b"own", ".config": b"c"}),
        (common, {"include/own.h": b"common", "arch/x86/include/asm/x.h": b"x", "Makefile": b"m"}),
    ):
        others = f"linux-kbuild-6.12.117+deb13, linux-image-{release} (= 1)"  # which are not fetched
        needs = f"{common} (= 1), {others}" if name != common else ""
        archive.package(name, "1", {f"usr/src/{name}/{path}": text for path, text in files.items()}, needs)
    archive.list()
    home = debian.kernel_headers()
    assert (home / "include/own.h").read_bytes() == b"own"
    assert (home / "arch/x86/include/asm/x.h").is_file() and (home / ".config").is_file()


def test_headers_of_another_release_are_apart(archive: ArchiveOfOurs, debian: Debian) -> None:
    for number in ("1", "2"):
        release = f"6.{number}.0-amd64"
        archive.package("linux-headers-amd64", number, {}, f"linux-headers-{release} (= {number})")
        files = {f"usr/src/linux-headers-{release}/.config": number.encode()}
        archive.package(f"linux-headers-{release}", number, files)
        archive.list()
        home = debian.kernel_headers(suite="" if number == "1" else "here")
        assert (home / ".config").read_text() == number
    assert (debian.kernel_headers() / ".config").read_text() == "1"
    with pytest.raises(MissingPrerequisite, match="not the name"):
        debian.kernel_headers(suite="../here")


def test_relations_as_policy_writes_them() -> None:
    shown = (
        "Package: a\nPre-Depends: dpkg (>= 1.1)\nDepends: b (= 1:2-3), c | d, e:any (>= 4), f\nSuggests: g\n"
    )
    assert depends_on(shown) == {"dpkg": None, "b": "1:2-3", "c": None, "e": None, "f": None}
