"""Every page that a measurement makes names its commit and inputs; a changed input makes it stale."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pages
import pytest

DECLARED = {"made/a.md": ("code/a", "code/both.py"), "made/b.md": ("code/b", "code/both.py")}


def git(root: Path, *words: str) -> str:
    argv = ["git", "-C", root, "-c", "user.name=x", "-c", "user.email=x@x", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A project of two pages, both just made from its one commit."""
    git(tmp_path, "init", "-q")
    for name in ("code/a/one.py", "code/b/one.py", "code/both.py", "made/a.md", "made/b.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("# Title\n\nText.\n")
    generator = tmp_path / "tests" / "evaluation" / "page.py"
    generator.parent.mkdir(parents=True)
    generator.write_text(f"import nothing_that_is_there\n\nINPUTS = {DECLARED!r}\n")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "first")
    for name in DECLARED:
        page = tmp_path / name
        page.write_text(pages.marked(name, page.read_text(), tmp_path))
    return tmp_path


def change(root: Path, name: str) -> None:
    (root / name).write_text("changed\n")
    git(root, "add", name)
    git(root, "commit", "-qm", f"change {name}")


def test_a_page_is_marked_below_its_title_and_once(clone: Path) -> None:
    commit = git(clone, "rev-parse", "--short=10", "HEAD").strip()
    text = (clone / "made/a.md").read_text()
    assert text == f"# Title\n\nMade from commit {commit}.\n\nText.\n"
    assert pages.marked("made/a.md", text, clone) == text
    assert pages.made_from(text) == commit


def test_what_is_not_committed_is_said(clone: Path) -> None:
    (clone / "code/a/one.py").write_text("not committed\n")
    text = pages.marked("made/a.md", (clone / "made/a.md").read_text(), clone)
    assert text.splitlines()[2].endswith(" with changes that were not committed.")
    assert "not committed" not in pages.marked("made/b.md", (clone / "made/b.md").read_text(), clone)
    assert [line.partition(":")[0] for line in pages.stale(clone)] == ["made/a.md"]


def test_a_page_of_which_a_part_is_new_keeps_its_line(clone: Path) -> None:
    before = (clone / "made/a.md").read_text()
    change(clone, "code/a/one.py")
    assert pages.with_line_of(before, "# Title\n\nNew text.\n") == before.replace("Text", "New text")


def test_a_page_is_stale_when_an_input_of_its_own_has_changed(clone: Path) -> None:
    assert list(pages.stale(clone)) == []
    change(clone, "code/a/one.py")
    commit = pages.made_from((clone / "made/a.md").read_text())
    assert list(pages.stale(clone)) == [f"made/a.md: made from {commit}; since then 1 commit to code/a"]
    change(clone, "code/both.py")
    assert [line.partition(":")[0] for line in pages.stale(clone)] == ["made/a.md", "made/b.md"]


def test_two_parts_of_one_page_have_a_commit_each(clone: Path) -> None:
    page = clone / "made/c.md"
    first, second = ("<!-- made by make x -->\n", "<!-- made by make y -->\n")
    page.write_text(f"# C\n\n{first}old\n<!-- end -->\nBetween.\n{second}<!-- end -->\n")
    commit = git(clone, "rev-parse", "--short=10", "HEAD").strip()
    page.write_text(pages.with_part("made/c.md#x", "New.\n\nText.\n", clone))
    change(clone, "code/a/one.py")
    page.write_text(pages.with_part("made/c.md#y", "Other.\n\n", clone))
    assert page.read_text().startswith(
        f"# C\n\n{first}\nNew.\n\nMade from commit {commit}.\n\nText.\n<!-- end -->\nBetween.\n"
    )
    declared = {"made/c.md#x": ("code/a",), "made/c.md#y": ("code/a",)}
    assert [line.partition(":")[0] for line in pages.stale(clone, declared)] == ["made/c.md#x"]


def test_a_page_without_a_commit_or_of_an_unknown_one_is_stale(clone: Path) -> None:
    (clone / "made/a.md").write_text("# Title\n\nText.\n")
    (clone / "made/b.md").write_text("# Title\n\nMade from a tree at or before commit 0123456789.\n")
    first, second = pages.stale(clone)
    assert "names no commit" in first and "does not have" in second


def test_the_project_s_own_pages_name_a_commit_and_inputs_that_are_there() -> None:
    declared = pages.inputs()
    assert {"docs/accuracy.md", "docs/overhead.md", "reports/quick/report.md"} < {*declared}
    for page, wanted in declared.items():
        assert pages.made_from(pages.text_of(page)), page
        assert [path for path in wanted if not (pages.ROOT / path).exists()] == [], page
