"""A walk as a Markdown table."""

from __future__ import annotations

from qtrace.report.text import plain
from qtrace.report.walked import Walked, evidence, place

__all__ = ["write"]


def write(walked: Walked) -> str:
    """The whole walk; a run's measurements have a column."""
    measured = walked.figures is not None
    lines = [f"**{walked.title}**", "", *(line for text in walked.head for line in (_cell(text), ""))]
    lines.append("| stage | function | where | reached by |" + " measured |" * measured)
    lines.append("| --- | --- | --- | --- |" + " --- |" * measured)
    for step in walked.steps:
        kind = step.call.how if step.call else "hardware"
        reasons = [f"{item.why} ({place(item.file, item.line)})" for item in evidence(step)]
        how = "; ".join([f"{kind}: {'; '.join(reasons)}" if reasons else kind, *step.remarks])
        how = "; ".join([how, *(_cell(line.strip()) for line in walked.others(step))])
        row = f"| {step.stage or ''} | `{step.function}` | {place(step.file, step.line)} | {how} |"
        lines.append(row + f" {_cell('; '.join(walked.notes(step)))} |" * measured)
    if measured:
        lines += ["", *map(_cell, walked.tail)]
    if walked.end:
        lines += ["", f"The frame {walked.end}."]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text of a run as a cell of a Markdown table: it is data and is escaped."""
    return plain(text).replace("|", "\\|").replace("<", "&lt;")
