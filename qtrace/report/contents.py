"""The report's contents: all sections of `sections/` in order, and one for each analysis that none shows."""

from __future__ import annotations

import functools
import importlib
import pkgutil

import qtrace.report.sections
from qtrace.analyses.methods.data import CELL
from qtrace.analyses.methods.registry import Analysis, analyses
from qtrace.report.answers import Answers, Row
from qtrace.report.document import Section, Table
from qtrace.report.rows import bare, traffic
from qtrace.report.section import ReportSection
from qtrace.report.speech import say
from qtrace.report.text import MISSING, count, duration, plain_number, present, size

__all__ = ["contents"]

_BY_ITSELF = 1600  # the position of an analysis that no section shows: before the ledger


@functools.cache
def contents() -> tuple[ReportSection, ...]:
    """All sections in the order of the report. A new file in `sections/` or `analyses/` is found without a
    list."""
    found: list[tuple[int, str, ReportSection]] = []
    for info in pkgutil.iter_modules(qtrace.report.sections.__path__):
        module = importlib.import_module(f"qtrace.report.sections.{info.name}")
        section: ReportSection = module.SECTION
        found.append((section.order, info.name, section))
    shown = {name for _, _, section in found for name in section.analyses}
    found += [
        (_BY_ITSELF, name, _by_itself(analysis)) for name, analysis in analyses().items() if name not in shown
    ]
    return tuple(section for _, _, section in sorted(found, key=lambda item: item[:2]))


def _by_itself(analysis: Analysis) -> ReportSection:
    """A section with the analysis's question and its whole answer."""

    def write(answers: Answers) -> Section:
        rows = answers.ask(analysis.name)
        return Section(
            analysis.name.replace("_", "-"),
            say(analysis.question),
            say("The answer of the analysis `{name}`, in full.", name=analysis.name),
            (_table(analysis, rows),),
        )

    return ReportSection(_BY_ITSELF, write, (analysis.name,))


def _table(analysis: Analysis, rows: tuple[Row, ...]) -> Table:
    of_cell = set(CELL) <= set(analysis.columns)
    rest = [name for name in analysis.columns if not (of_cell and name in CELL)]
    heads = ["NIC", "back end", "traffic"] if of_cell else []
    heads += [f"{_mark(name, rows)}{name.replace('_', ' ')}" for name in rest]
    lines = []
    for row in rows:
        whose = [*bare(row), traffic(row)] if of_cell else []
        lines.append(whose + [_shown(name, row[name]) for name in rest])
    return Table.of("", "|".join(heads), lines)


def _mark(name: str, rows: tuple[Row, ...]) -> str:
    """The column's mark for `Table.of`: a number, code, or text."""
    if name == "function" or name.endswith("_function"):
        return "$"
    return "#" if any(present(row[name]) is not None for row in rows) else ""


def _shown(name: str, value: object) -> str:
    """A value formatted by its type; times and sizes by their column's name, as in the analyses."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("_ns"):
        return duration(value)
    if name == "bytes" or name.endswith("_bytes"):
        return size(value)
    if isinstance(value, float):
        return plain_number(value)
    return count(value) if isinstance(value, int) else str(value)
