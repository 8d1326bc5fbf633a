"""Writes docs/releases.md: `make releases`, as root; or page.py SUITE... for some columns.

Each release's root is made in the cache and left as it was; a fresh clone of this repository's HEAD is tried
in it, step by step. What is not tried anew stays as it stands in the page, with the commit that it was tried
with. With --whole it is `make report` and `make test` that are tried, each in a fresh root, and nothing else
(two hours a release). What each step says can be read below build/releases meanwhile. With --check nothing is
written. Exit status 1 if a step failed and nothing stood in for it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from pages import marked
from release_root import open_root
from release_steps import ROOT, STEPS, Step, clone, take

from qtrace.errors import QtraceError

PAGE = ROOT / "docs" / "releases.md"
INPUTS = {
    "docs/releases.md": (
        ".ci",
        "qtrace/distribution",
        "qtrace/lab",
        "qtrace/index",
        "qtrace/path",
        "qtrace/trace",
    )
}
SUITES = ("bookworm", "trixie", "sid")
_LAST = "\n<!-- made by make headers -->\n"
_DATA = re.compile(r"<!-- data (.*) -->")


@dataclass(frozen=True, slots=True)
class Outcome:
    """`said` is what the step found, or the end of what it said where it failed; `tried` is the day, and the
    commit that was cloned."""

    ok: bool
    seconds: float
    said: str
    tried: str


def try_release(suite: str, steps: Sequence[Step]) -> dict[str, Outcome]:
    """The steps in the release's root; one that fails does not keep the others from being tried."""
    found: dict[str, Outcome] = {}
    tried = f"{datetime.now(UTC):%Y-%m-%d}, commit {_git('rev-parse', '--short=10', 'HEAD')}"
    with open_root(suite) as root:
        clone(root)
        before = True
        for step in steps:
            if step.instead and before:
                continue
            before, seconds, said = take(root, step)
            found[step.name] = Outcome(before, seconds, said, tried)
            print(f"{suite}: {step.name}: {'ok' if before else 'FAILED'}", file=sys.stderr)
            print(f"    {seconds:.0f} s: {said}", file=sys.stderr)
    return found


def page(columns: dict[str, dict[str, Outcome]]) -> str:
    """The page's text; the data that it was made from stands in a comment, for the next time."""
    suites = [suite for suite in SUITES if suite in columns]
    head = ["# Releases", ""]
    head += [
        "Made by `make releases`: a minimal root of each Debian release (debootstrap), entered in a mount "
        "namespace of its own on this machine's kernel, and in it a fresh clone. `ok` or `failed`, and the "
        "seconds. What each step found, or why not, stands below.",
        "",
        "| step | " + " | ".join(suites) + " |",
        "| --- |" + " --- |" * len(suites),
    ]
    for step in STEPS:
        cells = [_cell(columns[suite].get(step.name)) for suite in suites]
        head.append(f"| {step.name} | " + " | ".join(cells) + " |")
    for suite in suites:
        head += ["", f"## {suite}"]
        tried = ""
        for name, outcome in columns[suite].items():
            if outcome.tried != tried:
                tried = outcome.tried
                head += ["", f"Tried {tried}.", ""]
            words = outcome.said.replace("|", "\\|").replace("<", "&lt;")
            head.append(f"- {name}: {'' if outcome.ok else 'failed: '}{words}")
    data = {suite: {name: asdict(one) for name, one in columns[suite].items()} for suite in suites}
    return "\n".join(head) + f"\n\n<!-- data {json.dumps(data)} -->\n"


def _cell(outcome: Outcome | None) -> str:
    if outcome is None:
        return "-"
    return f"{'ok' if outcome.ok else '**failed**'}, {outcome.seconds:.0f} s"


def _failures(column: dict[str, Outcome]) -> list[str]:
    """The steps that failed, but for those that another one stood in for."""
    good = {name for name, one in column.items() if one.ok}
    good |= {before.name for before, step in itertools.pairwise(STEPS) if step.instead and step.name in good}
    return [name for name in column if name not in good]


def _kept() -> dict[str, dict[str, Outcome]]:
    """The columns of the page as it stands."""
    kept = _DATA.search(PAGE.read_text()) if PAGE.exists() else None
    columns = json.loads(kept[1]) if kept else {}
    return {
        suite: {name: Outcome(**one) for name, one in column.items()} for suite, column in columns.items()
    }


def _with_last(text: str) -> str:
    """The page's new text, with the part at its end that another program makes, as it stands."""
    _, begin, part = (PAGE.read_text() if PAGE.exists() else "").partition(_LAST)
    return text + begin + part


def _oldest(columns: dict[str, dict[str, Outcome]]) -> str:
    """The oldest commit that anything in the page was made from."""
    commits = {one.tried.split()[-1] for column in columns.values() for one in column.values()}
    return max(sorted(commits), key=lambda commit: int(_git("rev-list", "--count", f"{commit}..HEAD") or 0))


def _git(*words: str) -> str:
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True).stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("suites", nargs="*", default=SUITES)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--only", default="", help="steps that have this in their name")
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    steps = [step for step in STEPS if step.whole is asked.whole and asked.only in step.name]
    trips = [[step] for step in steps] if asked.whole else [steps]
    columns, failed = _kept(), []
    for suite, trip in itertools.product(asked.suites, trips):
        try:
            tried = try_release(suite, trip)
        except QtraceError as exc:
            print(f"{suite}: {exc} {exc.hint}", file=sys.stderr)
            return 1
        names = {step.name for step in trip}
        known = {name: one for name, one in columns.get(suite, {}).items() if name not in names} | tried
        columns[suite] = {step.name: known[step.name] for step in STEPS if step.name in known}
        if not asked.check:
            PAGE.write_text(_with_last(marked("docs/releases.md", page(columns), commit=_oldest(columns))))
        failed += _failures(tried)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted: nothing of the trial is left")
