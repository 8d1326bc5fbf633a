"""What a walk can be written as: found by itself, and every step of the walk is in each."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from made_up import way

import qtrace
from qtrace.model import Direction, path_from_json
from qtrace.path.walk import walk
from qtrace.report.walk_formats import walk_formats, write_walk
from qtrace.report.walked import walked_path
from qtrace.store.index import Index

NAMES = '''"""A walk as the names of its functions: a format that somebody has dropped in."""

from __future__ import annotations

from qtrace.report.walked import Walked

__all__ = ["write"]


def write(walked: Walked) -> str:
    """One name a line."""
    return "".join(f"{step.function}\\n" for step in walked.steps)
'''


@pytest.mark.parametrize("form", walk_formats())
def test_every_format_has_every_step(form: str, index: Index) -> None:
    path = way("e1000", "tap", "qemu", Direction.TX)
    said = write_walk(walked_path(path, index), form)
    assert said.endswith("\n") and not said.endswith("\n\n")
    assert [step.function for step in path.steps if step.function not in said] == []


def test_json_is_the_path(index: Index) -> None:
    path = way("e1000", "tap", "qemu", Direction.RX)
    assert path_from_json(json.loads(write_walk(walked_path(path, index), "json"))) == path


def test_a_format_that_is_dropped_in_is_offered(index: Index, tmp_path: Path) -> None:
    copy = tmp_path / "qtrace"
    shutil.copytree(Path(qtrace.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "report" / "formats" / "walk_names.py").write_text(NAMES)
    words = ["-m", "qtrace", "walk", "e1000", "tap", "--direction", "tx", "--index", str(index.path)]
    words += ["--format", "names"]
    said = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True
    )
    path = walk(index, "e1000", "tap", direction=Direction.TX)
    assert said.stdout.split() == [step.function for step in path.steps]
