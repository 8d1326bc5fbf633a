"""Ubuntu's kernels and headers, from an archive with packages as its releases split and name them. Ubuntu
itself is untried."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from archive import ArchiveOfOurs, serve_archive

from qtrace.distribution.ubuntu import Ubuntu
from qtrace.errors import MissingPrerequisite

pytestmark = pytest.mark.needs("apt-get", "dpkg-query", "dpkg-source", "dpkg-scanpackages")
RELEASE = "6.8.0-50-generic"


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchiveOfOurs]:
    monkeypatch.setenv("QTRACE_CACHE", str(tmp_path / "cache"))
    with serve_archive(tmp_path, "ubuntu") as served:
        yield served


@pytest.fixture
def ubuntu(archive: ArchiveOfOurs, tmp_path: Path) -> Ubuntu:
    here = Ubuntu("Ubuntu of ours")
    here.etc = tmp_path / "etc"
    (here.etc / "sources.list.d").mkdir(parents=True)
    (here.etc / "sources.list.d/ubuntu.sources").write_text(
        f"Types: deb\nURIs: {archive.url}\nSuites: here\nComponents: main\nTrusted: yes\n"
    )
    return here


def test_a_kernel_is_image_modules_and_extra_modules(archive: ArchiveOfOurs, ubuntu: Ubuntu) -> None:
    """The meta package names no versions, and most NICs are in linux-modules-extra."""
    parts = f"linux-image-{RELEASE}, linux-modules-extra-{RELEASE}"
    archive.package("linux-image-generic", "6.8.0.50.50", {}, f"{parts}, linux-firmware, intel-microcode")
    image, modules = {f"boot/vmlinuz-{RELEASE}": b"image"}, f"lib/modules/{RELEASE}/kernel"
    archive.package(
        f"linux-image-{RELEASE}", "6.8.0-50.51", image, f"kmod, linux-base, linux-modules-{RELEASE}"
    )
    archive.package(f"linux-modules-{RELEASE}", "6.8.0-50.51", {f"{modules}/virtio_net.ko.zst": b"v"})
    archive.package(f"linux-modules-extra-{RELEASE}", "6.8.0-50.51", {f"{modules}/e1000.ko.zst": b"e"})
    archive.list()
    kernel = ubuntu.kernel()
    assert kernel.release == RELEASE
    assert {path.name for path in (kernel.home / modules).iterdir()} == {"virtio_net.ko.zst", "e1000.ko.zst"}
    assert (kernel.home / f"boot/vmlinuz-{RELEASE}").read_bytes() == b"image"
    assert ubuntu.kept_kernel() == kernel


def test_headers_are_the_flavours_and_the_common_ones(archive: ArchiveOfOurs, ubuntu: Ubuntu) -> None:
    common = "linux-headers-6.8.0-50"
    archive.package("linux-headers-generic", "6.8.0.50.50", {}, f"linux-headers-{RELEASE}")
    own = {f"usr/src/linux-headers-{RELEASE}/include/own.h": b"own"}
    archive.package(f"linux-headers-{RELEASE}", "6.8.0-50.51", own, f"{common}, libc6, libelf1t64")
    archive.package(common, "6.8.0-50.51", {f"usr/src/{common}/arch/x86/include/asm/x.h": b"x"})
    archive.list()
    home = ubuntu.kernel_headers()
    assert (home / "include/own.h").is_file() and (home / "arch/x86/include/asm/x.h").is_file()


def test_debians_archive_is_not_ubuntus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QTRACE_CACHE", str(tmp_path / "cache"))
    here = Ubuntu("Ubuntu of ours")
    here.etc = tmp_path
    (tmp_path / "sources.list").write_text("deb http://mirror.example/debian trixie main\n")
    with pytest.raises(MissingPrerequisite, match="no archive of Ubuntu of ours is named"):
        here.fetch_package("thing")
