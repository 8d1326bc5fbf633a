"""Writes docs/releases.md: `make releases`, as root; or page.py SUITE... for some columns.

Each release's root is made in the cache and left as it was; a fresh clone of this repository's HEAD is tried
in it, step by step. A column that is not tried anew stays as it stands in the page. With --check nothing is
written, with --whole `make report` and `make test` are tried too (two hours a release); without it, what they
said last stays. Exit status 1 if a step failed and nothing stood in for it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from pages import marked
from release_root import ReleaseRoot, open_root

from qtrace.errors import QtraceError

ROOT = Path(__file__).parents[3]
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
CLONE = "/root/qtrace"
_DATA = re.compile(r"<!-- data (.*) -->")
# Which mirror the machine has is nobody else's business.
_HOST = re.compile(r"https?://[^/\s]+(?:/debian)?")


@dataclass(frozen=True, slots=True)
class Step:
    """What is done: `argv` in the clone, or a step of inside.py; after `seconds` it is given up. One that is
    `instead` is taken only where the step before it failed, one that is `whole` only with --whole."""

    name: str
    argv: tuple[str, ...] = ()
    inside: str = ""
    instead: bool = False
    whole: bool = False
    seconds: float = 900


STEPS = (
    Step("set-up: `make setup`", ("make", "setup"), seconds=1500),
    Step("source fetched and indexed: `qtrace index`", (".venv/bin/qtrace", "index")),
    Step(
        "where that fails: `qtrace index --debian`",
        (".venv/bin/qtrace", "index", "--debian", "{suite}"),
        instead=True,
    ),
    Step("`qtrace map`", inside="maps"),
    Step("`qtrace walk`, every pair", inside="walks", seconds=1800),
    Step("`qtrace doctor`", inside="doctor"),
    Step("`qtrace lab up` of five modes", inside="labs", seconds=1200),
    Step("`qtrace record`, exact counts", inside="record", seconds=1800),
    Step("`qtrace symbols`", inside="symbols"),
    Step("`make report`", ("make", "report"), seconds=5400, whole=True),
    Step("`make test`", ("make", "test"), seconds=10800, whole=True),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`said` is what the step found, or the end of what it said where it failed."""

    ok: bool
    seconds: float
    said: str


def try_release(suite: str) -> dict[str, Outcome]:
    """Every step in the release's root; one that fails does not keep the others from being tried."""
    found: dict[str, Outcome] = {}
    with open_root(suite, [ROOT]) as root:
        status, output, _ = root.run(
            ["git", "-c", f"safe.directory={ROOT}/.git", "clone", "-q", str(ROOT), CLONE], 300
        )
        if status != 0:
            raise QtraceError(f"the clone in {suite} failed: {output}")
        outcome = Outcome(True, 0, "")
        for step in STEPS:
            if (step.instead and outcome.ok) or (step.whole and "--whole" not in sys.argv):
                continue
            found[step.name] = outcome = _take(root, step)
            print(f"{suite}: {step.name}: {'ok' if outcome.ok else 'FAILED'}", file=sys.stderr)
            print(f"    {outcome.seconds:.0f} s: {outcome.said}", file=sys.stderr)
    return found


def _take(root: ReleaseRoot, step: Step) -> Outcome:
    argv = (
        [".venv/bin/python", "tests/evaluation/releases/inside.py", step.inside]
        if step.inside
        else [word.replace("{suite}", root.suite) for word in step.argv]
    )
    status, output, seconds = root.run(argv, step.seconds, CLONE, {"PYTHONPATH": "tests"})
    lines = [line for line in output.splitlines() if line.strip()]
    said = lines[-1] if lines else ""
    if status == 124:
        said = f"not ended after {step.seconds:.0f} s: {said}"
    elif status != 0:
        # qtrace's own message, if there is one, without what it said on the way.
        last = max((n for n, line in enumerate(lines) if "qtrace: " in line), default=max(len(lines) - 4, 0))
        said = " / ".join(line.strip() for line in lines[last:])[-700:]
    return Outcome(status == 0, seconds, _HOST.sub("MIRROR", said))


def page(columns: dict[str, dict[str, Outcome]], made: dict[str, str]) -> str:
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
        head += ["", f"## {suite}", "", f"{made.get(suite, '')}", ""]
        for name, outcome in columns[suite].items():
            words = outcome.said.replace("|", "\\|").replace("<", "&lt;")
            head.append(f"- {name}: {'' if outcome.ok else 'failed: '}{words}")
    data = {
        suite: {"made": made[suite], "steps": {name: asdict(one) for name, one in columns[suite].items()}}
        for suite in suites
    }
    return "\n".join(head) + f"\n\n<!-- data {json.dumps(data)} -->\n"


def _cell(outcome: Outcome | None) -> str:
    if outcome is None:
        return "-"
    return f"{'ok' if outcome.ok else '**failed**'}, {outcome.seconds:.0f} s"


def _failures(column: dict[str, Outcome]) -> list[str]:
    """The steps that failed, but for those that another one stood in for."""
    good = {name for name, one in column.items() if one.ok}
    good |= {before.name for before, step in pairwise(STEPS) if step.instead and step.name in good}
    return [name for name in column if name not in good]


def main() -> int:
    columns: dict[str, dict[str, Outcome]] = {}
    made: dict[str, str] = {}
    failed: list[str] = []
    kept = _DATA.search(PAGE.read_text()) if PAGE.exists() else None
    for suite, column in (json.loads(kept[1]) if kept else {}).items():
        columns[suite] = {name: Outcome(**one) for name, one in column["steps"].items()}
        made[suite] = column["made"]
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True
    )
    for suite in [word for word in sys.argv[1:] if not word.startswith("--")] or SUITES:
        try:
            old = {step.name: columns.get(suite, {}).get(step.name) for step in STEPS if step.whole}
            columns[suite] = {name: one for name, one in old.items() if one} | try_release(suite)
        except QtraceError as exc:
            print(f"{suite}: {exc} {exc.hint}", file=sys.stderr)
            return 1
        made[suite] = f"Tried {datetime.now(UTC):%Y-%m-%d}, commit {commit.stdout.strip()}."
        if "--check" not in sys.argv:
            PAGE.write_text(marked("docs/releases.md", page(columns, made)))
        failed += _failures(columns[suite])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
