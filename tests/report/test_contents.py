"""The report's sections are found by themselves, each in its place; an analysis needs none to be shown."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from made_up import BACKENDS, make_run

import qtrace
from qtrace.analyses.methods.registry import analyses
from qtrace.report.contents import contents
from qtrace.report.render import build
from qtrace.store.run import RunReader

ORDER = [
    "heat-maps",
    "conditions",
    "throughput",
    "latency",
    "paths",
    "stages",
    "stage-latency",
    "frame-latency",
    "stopped",
    "calls",
    "cpu",
    "cpu-functions",
    "vhost",
    "reconciliation",
    "cost",
    "ledger",
    "again",
]
ANALYSIS = '''"""How many threads a QEMU ran: a question that somebody has dropped in."""

from __future__ import annotations

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data

__all__ = ["COLUMNS", "QUESTION", "analyse"]

QUESTION = "How many threads did QEMU run?"
COLUMNS = (*CELL, "threads", "longest_ns", "function")


def analyse(data: Data) -> pd.DataFrame:
    """One row a cell."""
    rows = data.table("threads").groupby(CELL, as_index=False)["thread"].nunique()
    rows = rows.rename(columns={"thread": "threads"})
    return rows.assign(longest_ns=2_500_000.0, function="a_b")[list(COLUMNS)]
'''
SECTION = '''"""A section that somebody has dropped in."""

from __future__ import annotations

from qtrace.report.answers import Answers
from qtrace.report.document import Section
from qtrace.report.section import ReportSection

__all__ = ["SECTION"]


def write(answers: Answers) -> Section:
    """One line."""
    return Section("mine", "A section of mine", "It stands behind the latency.", code=("true",))


SECTION = ReportSection(
    250, write, headline=lambda answers: ["a sentence of mine"], alerts=lambda answers: ["a warning of mine"]
)
'''


def test_the_sections_stand_in_their_order(tmp_path: Path) -> None:
    document = build(RunReader.open(make_run(tmp_path / "run", repetitions=1)))
    assert [section.name for section in document.sections] == ORDER


def test_every_analysis_is_shown_once_and_none_is_made_up() -> None:
    shown = [name for section in contents() for name in section.analyses]
    assert sorted(shown) == sorted(analyses())


def test_a_file_that_is_dropped_in_is_in_the_report(tmp_path: Path) -> None:
    """In a copy of the package: an analysis without a section, and a section without an analysis."""
    copy = tmp_path / "copy" / "qtrace"
    shutil.copytree(Path(qtrace.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "analyses" / "thread_count.py").write_text(ANALYSIS)
    (copy / "report" / "sections" / "mine.py").write_text(SECTION)
    run = make_run(tmp_path / "run", repetitions=1)
    words = ["-m", "qtrace", "report", str(run), "-o", str(tmp_path / "out"), "--format", "md"]
    subprocess.run([sys.executable, *words], cwd=copy.parent, check=True, timeout=300)
    page = (tmp_path / "out" / "report.md").read_text()
    places = [page.index(f"\n## {title}\n") for title in (
        "Round-trip latency", "A section of mine", "The paths", "The cost of the probes",
        "How many threads did QEMU run?", "Ledger")]  # fmt: skip
    assert places == sorted(places)
    assert "\n- a sentence of mine\n" in page and page.index("a warning of mine") < page.index("\n## ")
    assert "| NIC | back end | traffic | threads | longest ns | function |" in page
    assert page.count("| tcp tx | 3 | 2.50 ms | `a_b` |") == len(BACKENDS)
