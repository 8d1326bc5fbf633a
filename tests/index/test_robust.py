"""An index is whole or not there, whatever happens on the way; what is less certain is said."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qtrace.errors import SourceError
from qtrace.index.build import ensure_index
from qtrace.index.tree import open_tree
from qtrace.store.index import Index

pytestmark = pytest.mark.usefixtures("side_cache")


def indexing(root: str | Path, cache: Path) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "qtrace", "index", "--source", str(root)]
    environment = os.environ | {"QTRACE_CACHE": str(cache)}
    return subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.fixture
def cache(index: Index, tmp_path: Path) -> Path:
    """A cache without any fact; the libraries' headers need not be fetched again."""
    folder = tmp_path / "cache"
    folder.mkdir()
    for name in ("packages", "apt"):
        (folder / name).symlink_to(index.path.parent.parent / name)
    return folder


@pytest.fixture
def copy(index: Index, tmp_path: Path) -> Path:
    """A copy of the tree that may be changed."""
    shutil.copytree(index.meta["root"], tmp_path / "qemu", symlinks=True)
    return tmp_path / "qemu"


def listing(root: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in root.rglob("*")}


def test_an_interrupted_index_leaves_what_it_has_read_and_nothing_half_made(
    index: Index, cache: Path
) -> None:
    process = indexing(index.meta["root"], cache)
    assert process.stderr
    said = next(line for line in process.stderr if "20 of" in line)
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(300) == 130 and "interrupted" in rest and "Traceback" not in said + rest
    assert not list((cache / "indexes").glob("qemu*"))
    again = indexing(index.meta["root"], cache)
    _, said = again.communicate(timeout=300)
    assert again.returncode == 0 and "files parsed" in said
    parsed = int(said.rpartition(" files parsed")[0].rpartition(" ")[2])
    assert 0 < parsed <= index.counts()["files"] - 20


def test_two_at_once_make_one(index: Index, cache: Path) -> None:
    both = [indexing(index.meta["root"], cache) for _ in range(2)]
    said = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sorted("in place" in text for text in said) == [False, True]
    assert len(list((cache / "indexes").glob("qemu*.sqlite"))) == 1


def test_nothing_is_written_into_the_tree(copy: Path, cache: Path) -> None:
    before = listing(copy)
    assert indexing(copy, cache).wait(300) == 0
    assert listing(copy) == before


def test_a_tree_that_is_half_unpacked_is_refused(copy: Path) -> None:
    (copy / "hw" / "net" / "e1000.c").unlink()
    with pytest.raises(SourceError, match=r"not complete: hw/net/meson\.build names 1 files.*e1000\.c"):
        open_tree(copy)
    shutil.rmtree(copy / "qapi")
    with pytest.raises(SourceError, match=r"has no qapi/qapi-schema\.json"):
        open_tree(copy)


def test_a_generator_that_fails_is_named(copy: Path) -> None:
    (copy / "qapi" / "net.json").write_text("{ 'nonsense': ")
    with pytest.raises(SourceError, match=r"scripts/qapi-gen\.py failed"):
        ensure_index(source=copy)


def test_a_file_with_an_error_is_read_as_far_as_it_goes_and_flagged_where_it_is_used(copy: Path) -> None:
    (copy / "net" / "tap.c").write_text((copy / "net" / "tap.c").read_text() + '\n#include "gone.h"\n')
    broken, _ = ensure_index(source=copy)
    assert broken.function("tap_receive_iov") and broken.errors_in(["net/tap.c"])
    for words in (
        ("walk", "e1000", "tap", "--direction", "tx"),
        ("show", "tap_receive_iov"),
        ("map",),
    ):
        argv = [sys.executable, "-m", "qtrace", *words, "--index", str(broken.path)]
        done = subprocess.run(argv, capture_output=True, text=True)
        assert done.returncode == 0
        assert "net/tap.c was indexed with errors: 'gone.h' file not found" in done.stderr, words
    argv = [sys.executable, "-m", "qtrace", "walk", "e1000", "user", "--direction", "tx"]
    done = subprocess.run([*argv, "--index", str(broken.path)], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr


def test_without_pkg_config_it_says_what_to_install(copy: Path, cache: Path) -> None:
    environment = os.environ | {"PATH": str(cache), "QTRACE_CACHE": str(cache)}
    (cache / "sh").symlink_to("/bin/sh")
    argv = [sys.executable, "-m", "qtrace", "index", "--source", str(copy)]
    done = subprocess.run(argv, capture_output=True, text=True, env=environment)
    assert done.returncode == 1 and "apt-get install pkg-config libglib2.0-dev" in done.stderr
    assert "Traceback" not in done.stderr
