"""What is tried in a release's root: the steps of docs/releases.md, each in a fresh clone."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from release_root import ReleaseRoot

from qtrace.errors import QtraceError

__all__ = ["ROOT", "STEPS", "Step", "clone", "take"]

ROOT = Path(__file__).parents[3]
_CLONE = "/root/qtrace"
# What is made in a clone, and is not of it.
_MADE = (".git", ".venv", "build", "dist", ".*_cache", "__pycache__", "*.egg-info")
_LOGS = ROOT / "build" / "releases"
_SUMMARY = re.compile(r"=+ .*\b(passed|failed|errors?)\b.* in [\d.]+s.* =+$")
# Which mirror the machine has is nobody else's business.
_HOST = re.compile(r"https?://[^/\s]+(?:/debian)?")


@dataclass(frozen=True, slots=True)
class Step:
    """What is done: `argv` in the clone, or a step of inside.py; after `seconds` it is given up. One that is
    `instead` is taken only where the step before it failed, those that are `whole` with --whole."""

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
    Step(
        "`qtrace explain`, its corpus held against this QEMU",
        (".venv/bin/python", "-m", "pytest", "tests/explain/test_corpus.py", "-k", "installed"),
        seconds=1800,
    ),
    Step("`qtrace doctor`", inside="doctor"),
    Step("`qtrace lab up` of five modes", inside="labs", seconds=1200),
    Step("every program in the lab machine", inside="programs", seconds=1800),
    Step("`qtrace record`, exact counts", inside="record", seconds=1800),
    Step("`qtrace symbols`", inside="symbols"),
    Step("where that fails: with another release's index", inside="symbols_of_another", instead=True),
    Step("a plan of two cells, and its report", inside="plan", seconds=2700),
    Step("`make report`", ("make", "report"), seconds=5400, whole=True),
    Step("`make test`", ("make", "test"), seconds=10800, whole=True),
)


def clone(root: ReleaseRoot) -> None:
    """This repository's HEAD in the root; where git knows none, its files as they stand. Raises
    QtraceError."""
    shared = root.work / "tmp"  # /tmp in the root
    shared.mkdir(exist_ok=True)
    git = ["git", "-C", str(ROOT), "-c", "safe.directory=*"]
    bundle = [*git, "bundle", "create", "-q", str(shared / "head"), "HEAD"]
    if subprocess.run(bundle, capture_output=True).returncode == 0:
        words = ["git", "clone", "-q", "-c", "advice.detachedHead=false", "/tmp/head", _CLONE]
    else:
        shutil.copytree(ROOT, shared / "files", ignore=shutil.ignore_patterns(*_MADE), symlinks=True)
        words = ["cp", "-a", "/tmp/files", _CLONE]
    status, output, _ = root.run(words, 300)
    if status != 0:
        raise QtraceError(f"the clone in {root.suite} failed: {output}")


def take(root: ReleaseRoot, step: Step) -> tuple[bool, float, str]:
    """Whether a step did what it should, its seconds, and what it found, or the end of what it said where it
    failed. All that it says stands below build/releases, and can be read there meanwhile."""
    argv = (
        [".venv/bin/python", "tests/evaluation/releases/inside.py", step.inside]
        if step.inside
        else [word.replace("{suite}", root.suite) for word in step.argv]
    )
    _LOGS.mkdir(parents=True, exist_ok=True)
    log = _LOGS / f"{root.suite}-{'-'.join(re.findall('[a-z]+', step.name))}.txt"
    # pytest cuts a reason off where a line of the terminal ends.
    env = {"PYTHONPATH": "tests", "COLUMNS": "500"}
    status, output, seconds = root.run(argv, step.seconds, _CLONE, env, log)
    said = _found(output) if status == 0 else _failure(output)
    if status == 124:
        said = f"not ended after {step.seconds:.0f} s: {said}"
    return status == 0, seconds, _HOST.sub("MIRROR", said)


def _summaries(output: str) -> str:
    """What pytest counted, each time that it ran."""
    return ", then ".join(line.strip("= ") for line in output.splitlines() if _SUMMARY.match(line))


def _found(output: str) -> str:
    return _summaries(output) or next((line for line in reversed(output.splitlines()) if line.strip()), "")


def _failure(output: str) -> str:
    """pytest's count and the first test that failed, or qtrace's own message without what it said on the way,
    or the last lines."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if summaries := _summaries(output):
        first = next((line for line in lines if line.startswith(("FAILED ", "ERROR "))), "")
        return f"{summaries}; the first: {first}"[:700]
    last = max((n for n, line in enumerate(lines) if "qtrace: " in line), default=max(len(lines) - 4, 0))
    return " / ".join(lines[last:])[-700:]
