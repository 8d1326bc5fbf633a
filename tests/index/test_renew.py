"""An index that another release made is made again when it is asked for, and that is said."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from qtrace.errors import StoreError
from qtrace.index.renew import index_named
from qtrace.progress import SILENT
from qtrace.store.index import FORMAT, Index, index_path, mark_current

pytestmark = pytest.mark.usefixtures("side_cache")


def older(index: Index, **meta: str) -> Path:
    """The same index as the release before would have left it, and it is the one used last."""
    for left in index_path("x").parent.glob("*"):
        left.unlink()
    path = index_path(index.path.stem.rpartition("-")[0] + f"-{FORMAT - 1}")
    shutil.copy(index.path, path)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        for key, value in {"format": str(FORMAT - 1), **meta}.items():
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
        for key in {"build", "more"} - meta.keys():  # that release did not write them down
            db.execute("DELETE FROM meta WHERE key = ?", (key,))
    mark_current(path)
    return path


def asked(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "qtrace", *words], capture_output=True, text=True, timeout=300, env=os.environ
    )


def test_it_is_made_again_once_and_a_line_says_so(index: Index) -> None:
    older(index)
    words = ("walk", "e1000", "tap", "--direction", "tx", "--format", "json")
    first, second = asked(*words), asked(*words)
    assert first.returncode == 0, first.stderr
    said = f"another release of qtrace indexed {index.meta['root']}: it is indexed again for this one"
    assert first.stderr.count(said) == 1
    assert second.stdout == first.stdout and not second.stderr
    assert json.loads(first.stdout)["nic"] == "e1000"
    (made,) = index_path("x").parent.glob(f"*-{FORMAT}.sqlite")
    assert Index(made).counts() == index.counts()


def test_another_than_the_last_used_stays_another(index: Index) -> None:
    path = older(index)
    before = path.with_name("current").read_text()
    assert index_named(index.meta["qemu"], SILENT).meta["root"] == index.meta["root"]
    assert path.with_name("current").read_text() == before


@pytest.mark.parametrize(
    ("meta", "said", "hint"),
    [
        ({"root": "/nonexistent/qemu"}, "its tree has gone: /nonexistent/qemu", "qtrace index --source TREE"),
        ({"root": ""}, "its tree has gone", "qtrace index"),
        ({"build": "/nonexistent/build"}, "its tree has gone: /nonexistent/build", "qtrace index"),
        ({"recipe": "00000000"}, "does not say with which options", "--build DIR"),
    ],
)
def test_where_it_cannot_be_made_again_the_command_is_named(
    index: Index, meta: dict[str, str], said: str, hint: str
) -> None:
    older(index, **meta)
    with pytest.raises(StoreError, match=said) as caught:
        index_named("", SILENT)
    assert "made by another release" in str(caught.value) and hint in caught.value.hint


def test_what_is_in_order_is_opened_as_it_is(index: Index) -> None:
    for left in index_path("x").parent.glob("*"):
        left.unlink()
    copy = index_path(index.path.stem)
    shutil.copy(index.path, copy)
    mark_current(copy)
    assert index_named("", SILENT).path == copy
    assert index_named(str(copy), SILENT).path == copy
