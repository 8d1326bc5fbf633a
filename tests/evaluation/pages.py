"""The pages that a measurement makes: each names the commit that it was made from, and its inputs.

    python tests/evaluation/pages.py stale        # list the pages whose inputs have changed since
    python tests/evaluation/pages.py mark PAGE    # name this tree's commit in a page that was just made

A generator declares `INPUTS`: its page's path from the root -> the files and folders that the page's numbers
depend on. It writes `marked(page, text)`. A part of a page that `make NAME` makes is PATH#NAME; it stands
between two comments (`with_part`).
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["inputs", "made_from", "marked", "stale", "text_of", "with_line_of", "with_part"]

ROOT = Path(__file__).parents[2]
INPUTS = {
    "reports/quick/report.md": (
        "probes",
        "analyses",
        "qtrace/path",
        "qtrace/trace",
        "qtrace/measure",
        "qtrace/campaign",
        "qtrace/lab",
        "qtrace/report",
    ),
    "reports/two-releases/report.md": (
        "probes",
        "analyses",
        "qtrace/path",
        "qtrace/trace",
        "qtrace/measure",
        "qtrace/campaign",
        "qtrace/lab",
        "qtrace/report",
    ),
    "reports/matrix/report.md": ("analyses", "qtrace/campaign", "qtrace/lab", "qtrace/report"),
    "reports/matrix-lab-machine/report.md": ("analyses", "qtrace/campaign", "qtrace/lab", "qtrace/report"),
}
_LINE = re.compile(r"^Made from (?:a tree at or before )?commit ([0-9a-f]{7,40})\b.*\n\n?", re.MULTILINE)
_BEGIN, _END = "<!-- made by make {} -->\n", "<!-- end -->\n"
_LENGTH = 10  # of a commit's name


def inputs(root: Path = ROOT) -> dict[str, tuple[str, ...]]:
    """Page -> its inputs, of every `INPUTS` below tests/evaluation. The generators are read, not run."""
    found: dict[str, tuple[str, ...]] = {}
    for path in sorted(root.glob("tests/evaluation/**/*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [
                "INPUTS"
            ]:
                found |= ast.literal_eval(node.value)
    return found


def marked(page: str, text: str, root: Path = ROOT, commit: str = "") -> str:
    """The page's text with the line that names its commit below its title: the one given, whatever stands in
    this tree, or this tree's."""
    changed = ""
    if not commit:
        commit = _git(root, "rev-parse", f"--short={_LENGTH}", "HEAD").strip()
        if not commit:
            return text
        if _uncommitted(root, inputs(root).get(page, ())):
            changed = " with changes that were not committed"
    title, _, rest = _LINE.sub("", text).partition("\n\n")
    return f"{title}\n\nMade from commit {commit}{changed}.\n\n{rest}"


def with_line_of(before: str, text: str) -> str:
    """A page of which a part alone was made anew: it keeps the line of the page before."""
    line = _LINE.search(before)
    title, _, rest = _LINE.sub("", text).partition("\n\n")
    return f"{title}\n\n{line[0].strip()}\n\n{rest}" if line else text


def with_part(page: str, part: str, root: Path = ROOT) -> str:
    """The whole text of the page PATH#NAME with a new part, marked."""
    path, _, name = page.partition("#")
    before, begin, rest = (root / path).read_text().partition(_BEGIN.format(name))
    if not begin:
        raise SystemExit(f"{path} has no line {_BEGIN.format(name)!r}")
    return f"{before}{begin}\n{marked(page, part, root)}{_END}{rest.partition(_END)[2]}"


def text_of(page: str, root: Path = ROOT) -> str:
    """A page as it stands, or its part."""
    path, _, name = page.partition("#")
    text = (root / path).read_text()
    return text.partition(_BEGIN.format(name))[2].partition(_END)[0] if name else text


def made_from(text: str) -> str:
    """The commit that a page names, or nothing."""
    match = _LINE.search(text)
    return match[1] if match else ""


def stale(root: Path = ROOT, declared: Mapping[str, tuple[str, ...]] | None = None) -> Iterator[str]:
    """A line for each page whose inputs have changed since it was made."""
    for page, wanted in sorted((inputs(root) if declared is None else declared).items()):
        commit = made_from(text_of(page, root))
        if not commit:
            yield f"{page}: names no commit that it was made from"
            continue
        if not _git(root, "cat-file", "-t", commit):
            yield f"{page}: made from {commit}, which this clone does not have"
            continue
        changed = [path for path in wanted if _git(root, "log", "--format=%h", f"{commit}..HEAD", "--", path)]
        commits = _git(root, "log", "--format=%h", f"{commit}..HEAD", "--", *wanted).split()
        said = [f"{len(commits)} commit{'s' * (len(commits) > 1)} to {', '.join(changed)}"] if commits else []
        if edited := _uncommitted(root, wanted):
            said.append(f"changes that are not committed to {', '.join(edited)}")
        if said:
            yield f"{page}: made from {commit}; since then {' and '.join(said)}"


def _uncommitted(root: Path, paths: tuple[str, ...]) -> list[str]:
    """Those of the paths with changes that are not committed."""
    return [path for path in paths if _git(root, "status", "--porcelain", "--", path)]


def _git(root: Path, *words: str) -> str:
    """What git says of the tree; nothing where it is no clone, or git is not there."""
    try:
        done = subprocess.run(["git", "-C", root, *words], capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def main() -> None:
    if sys.argv[1:] == ["stale"]:
        print("\n".join(stale()) or "every page is of its inputs as they are")
    elif sys.argv[1:2] == ["mark"] and len(sys.argv) == 3:
        page = ROOT / sys.argv[2]
        page.write_text(marked(sys.argv[2], page.read_text()))
    else:
        sys.exit("usage: pages.py stale | mark PAGE")


if __name__ == "__main__":
    main()
