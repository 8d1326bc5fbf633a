"""An index on disk that is not what this release reads is refused in words."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from qtrace.errors import StoreError
from qtrace.store.index import FORMAT, find_index, index_path, open_index
from qtrace.store.index_writer import write_index
from qtrace.store.indexed_releases import all_indexes


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QTRACE_CACHE", str(tmp_path))


def older(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE meta (key TEXT, value TEXT)")
        db.execute("INSERT INTO meta VALUES ('format', ?)", (str(FORMAT - 1),))


def test_another_release_s_index_is_not_read() -> None:
    path = index_path(f"qemu-9.0.0-abc-{FORMAT - 1}")
    older(path)
    with pytest.raises(StoreError, match="another release of qtrace"):
        open_index(path)
    with pytest.raises(StoreError, match="another release of qtrace") as said:
        find_index("9.0.0")
    assert "qtrace index" in said.value.hint


def test_the_newest_readable_index_of_a_version_is_found() -> None:
    older(index_path(f"qemu-9.0.0-zzz-{FORMAT - 1}"))
    mine = index_path(f"qemu-9.0.0-abc-{FORMAT}")
    write_index(mine, {"qemu": "9.0.0"}, {})
    assert find_index("9.0.0").path == mine


def test_what_is_no_index_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no database")
    with pytest.raises(StoreError, match="is not a source index"):
        find_index(str(tmp_path / "file"))
    with pytest.raises(StoreError, match="there is no source index"):
        find_index("8.1.0")


def test_an_index_that_is_damaged_or_without_its_tree_is_no_indexed_release(tmp_path: Path) -> None:
    index_path(f"qemu-8.0.0-abc-{FORMAT}").write_bytes(b"no database")
    for release, root in (("9.0.0", ""), ("9.1.0", "/nowhere"), ("9.2.0", str(tmp_path))):
        path = index_path(f"qemu-{release}-abc-{FORMAT}")
        with contextlib.closing(sqlite3.connect(path)) as db, db:
            db.execute("CREATE TABLE meta (key TEXT, value TEXT)")
            values = {"format": str(FORMAT), "qemu": release} | ({"root": root} if root else {})
            db.executemany("INSERT INTO meta VALUES (?, ?)", values.items())
    assert [index.meta["qemu"] for index in all_indexes()] == ["9.2.0"]
