"""The drawings of the paths."""

from __future__ import annotations

from qtrace.report.answers import Answers
from qtrace.report.document import Section
from qtrace.report.drawing import draw_path
from qtrace.report.formats.html import environment
from qtrace.report.section import ReportSection

__all__ = ["SECTION"]


def write(answers: Answers) -> Section:
    """One drawing for each path."""
    template = environment().get_template("path.svg.j2")
    return Section(
        "paths",
        "The paths",
        "Each path as the walk found it in QEMU's source, with the count at each stage and the time from the "
        "stage before (p50 and p99 of the probed TCP measurements). The functions between two stages are "
        "named on the line; places are file:line in the source of this QEMU.",
        figures=tuple(draw_path(path, answers, template) for path in answers.paths),
    )


SECTION = ReportSection(300, write)
