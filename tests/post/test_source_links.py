"""Lines are followed back through the distribution's patches: held against patch(1), which takes them off."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from qtrace.distribution.apt import Apt
from qtrace.distribution.apt_sources import archives
from qtrace.distribution.debian import Debian
from qtrace.post.source_links import SourceLinks, line_at_tag, tag_of
from qtrace.progress import SILENT
from qtrace.store.index import Index

NEWER = "trixie"  # the release of the fixture `newer`


def own_patches(tree: Path) -> list[str]:
    """Those behind the last one that changes VERSION, read here by themselves."""
    lines = (tree / "debian/patches/series").read_text().splitlines()
    names = [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]
    texts = [(tree / "debian/patches" / name).read_text(errors="replace") for name in names]
    last = max((at for at, text in enumerate(texts) if "+++ b/VERSION" in text), default=-1)
    return names[last + 1 :]


def touched(tree: Path, patch: str) -> set[str]:
    text = (tree / "debian/patches" / patch).read_text(errors="replace")
    found = {
        line[4:].split("\t")[0].strip().partition("/")[2] for line in text.splitlines() if line[:4] == "+++ "
    }
    return {name for name in found if (tree / name).is_file()}


def taken_off(tree: Path, folder: Path) -> dict[str, Path]:
    """File -> the same without the distribution's patches: the release's own."""
    files = {name for patch in own_patches(tree) for name in touched(tree, patch)}
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((tree / name).read_bytes())
    for patch in reversed(own_patches(tree)):
        argv = [
            "patch",
            "-R",
            "-p1",
            "--force",
            "--silent",
            "-d",
            str(folder),
            "-i",
            str(tree / "debian/patches" / patch),
        ]
        subprocess.run(
            argv, capture_output=True, check=False
        )  # files that are not copied fail, the others do not
    return {name: folder / name for name in files if (folder / name).is_file()}


def lines_of(file: Path) -> list[str]:
    return file.read_text(errors="replace").split("\n")


@pytest.mark.needs("patch")
def test_each_line_is_the_tag_s_own(index: Index, tmp_path: Path) -> None:
    tree = Path(index.meta["root"])
    if not (tree / "debian/patches/series").is_file():
        pytest.skip("this tree has no patches of a distribution")
    moved = gone = 0
    for name, original in taken_off(tree, tmp_path).items():
        before, after = lines_of(original), lines_of(tree / name)
        for number, text in enumerate(after, 1):
            found = line_at_tag(tree, name, number)
            if found is None:
                gone += 1
            else:
                assert before[found - 1] == text, f"{name}:{number} is {found} at the tag"
                moved += found != number
    assert moved and gone  # the patches do move lines and bring new ones


@pytest.mark.long
@pytest.mark.needs("patch", "dpkg-source")
def test_each_line_is_that_of_the_release_s_own_tarball(newer: Index, tmp_path: Path) -> None:
    """The source package holds the release's tarball as it was published, but for firmware: every line of
    every file that is indexed."""
    tree, version, debian = Path(newer.meta["root"]), newer.meta["qemu"], Debian("Debian")
    (package,) = [one for one in debian.source_versions("qemu", NEWER) if f":{version}+" in one]
    apt = Apt(debian.name, [one for one in archives(debian.etc) if debian.own(one)], NEWER)
    apt.ask(SILENT, "apt-get", "source", "--download-only", f"qemu={package}", cwd=tmp_path)
    (described,) = tmp_path.glob("*.dsc")
    argv = ["dpkg-source", "--no-check", "--skip-patches", "-x", described, tmp_path / "tag"]
    subprocess.run(argv, check=True, capture_output=True)
    assert (tmp_path / "tag/VERSION").read_text().strip() == version
    files = [name for name in newer.indexed_files() if (tree / name).is_file()]
    lines = 0
    for name in files:
        published = lines_of(tmp_path / "tag" / name)
        for number, text in enumerate(lines_of(tree / name), 1):
            found = line_at_tag(tree, name, number)
            assert found is None or published[found - 1] == text, f"{name}:{number} is {found} at the tag"
            lines += 1
    assert len(files) > 100 and lines > 50_000


def test_the_links_of_the_series_are_of_the_release(index: Index) -> None:
    links = SourceLinks(index, "6.1")
    tree = Path(index.meta["root"])
    for name in (
        "tap_receive_iov",
        "tap_send",
        "net_slirp_receive",
        "virtio_net_receive",
        "net_socket_receive",
    ):
        link = links.function(name)
        assert link.url.startswith(f"https://gitlab.com/qemu-project/qemu/-/blob/v{index.meta['qemu']}/")
        assert link.url.endswith(f"{link.file}#L{link.line}")
        row = index.function(name)[0]
        assert name in "\n".join(lines_of(tree / row.file)[row.line - 1 : row.line + 1])
    assert links.place("vhost", "drivers/vhost/net.c", 0).url == (
        "https://github.com/torvalds/linux/blob/v6.1/drivers/vhost/net.c"
    )


def test_a_tree_between_two_releases_has_no_tag() -> None:
    assert [tag_of(version) for version in ("7.2.22", "10.2.0")] == ["v7.2.22", "v10.2.0"]
    # Candidates that QEMU has published: VERSION 8.2.91 was v9.0.0-rc1, 10.0.90 v10.1.0-rc0.
    assert [tag_of(version) for version in ("8.2.91", "10.0.90")] == ["v9.0.0-rc1", "v10.1.0-rc0"]
    assert tag_of("10.1.50") == tag_of("10.1.50-dirty") == ""
