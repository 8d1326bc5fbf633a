"""The page of a walk shows the real tree's lines, read now, and needs nothing but itself."""

from __future__ import annotations

import html
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from qtrace.index.build import ensure_index
from qtrace.model import Direction
from qtrace.path.walk import walk
from qtrace.report.formats.walk_html import write
from qtrace.report.walked import Walked
from qtrace.store.index import Index

pytestmark = pytest.mark.usefixtures("side_cache")


def test_every_step_opens_its_source(index: Index) -> None:
    path = walk(index, "e1000", "tap", direction=Direction.TX)
    page = write(Walked("e1000 on tap", "leaves QEMU", path.steps, {}, index))
    root = Path(index.meta["root"])
    shown = html.unescape(re.sub(r"<[^>]+>", "", page))
    for step in path.steps:
        assert f"{step.function}" in shown
        if step.line:
            line = (root / step.file).read_text(errors="replace").splitlines()[step.line - 1]
            assert line.expandtabs(8) in shown, step
        for item in step.call.evidence if step.call else ():
            assert item.why in shown
    assert not re.search(r"(src|href)=", page), "it refers to something else"


def test_a_hostile_step_is_text_and_no_file_outside_the_tree_is_read(index: Index) -> None:
    path = walk(index, "e1000", "tap", direction=Direction.TX)
    hostile = replace(
        path.steps[0], function="<script>alert(1)</script>", file="../../../../etc/passwd", line=1
    )
    page = write(Walked("<b>title</b>", "", [hostile], {}, index))
    assert "<script>" not in page and "<b>title" not in page
    assert "root:" not in page and "not in the indexed tree" in page


def test_a_tree_that_has_changed_since_is_said(index: Index, tmp_path: Path) -> None:
    copy = tmp_path / "qemu"
    shutil.copytree(index.meta["root"], copy, symlinks=True)
    mine, _ = ensure_index(source=copy)
    path = walk(mine, "e1000", "tap", direction=Direction.TX)
    walked = Walked("", "", path.steps, {}, mine)
    assert "changed since" not in write(walked)
    (copy / "net" / "tap.c").write_text("\n" + (copy / "net" / "tap.c").read_text())
    page = write(walked)
    assert "net/tap.c changed since it was indexed" in page
