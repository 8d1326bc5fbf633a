"""Which index is asked when none is named: the last indexed, but for another release's, which is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from qtrace.cache import cache_dir
from qtrace.index.build import ensure_index
from qtrace.store.index import Index, has_current, mark_current, open_index

pytestmark = pytest.mark.usefixtures("side_cache")


@pytest.fixture
def other(index: Index, tmp_path: Path) -> Path:
    """A tree of another state, as another release's would be."""
    shutil.copytree(index.meta["root"], tmp_path / "qemu", symlinks=True)
    with (tmp_path / "qemu/net/hub.c").open("a") as file:
        file.write("\nint of_the_other_release(void);\nint of_the_other_release(void) { return 1; }\n")
    return tmp_path / "qemu"


def test_another_release_is_asked_by_name_only(index: Index, other: Path) -> None:
    ours, _ = ensure_index(source=Path(index.meta["root"]))
    theirs, _ = ensure_index(source=other, current=False)
    assert theirs.path != ours.path and theirs.function("of_the_other_release")
    assert open_index().path == ours.path
    ensure_index(source=other)
    assert open_index().path == theirs.path


def test_the_only_index_is_asked(index: Index, other: Path) -> None:
    (cache_dir("indexes") / "current").unlink(missing_ok=True)
    assert not has_current()
    theirs, _ = ensure_index(source=other, current=False)
    assert has_current() and open_index().path == theirs.path
    mark_current(index.path)
