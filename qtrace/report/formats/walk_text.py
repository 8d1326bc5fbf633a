"""A walk as text: a line for each step, below it the evidence of its call and its measurements."""

from __future__ import annotations

from qtrace.report.walked import Walked, evidence, place

__all__ = ["write"]

_ARROWS = {"direct": "->", "async": "~>"}  # any other kind: through a pointer


def write(walked: Walked) -> str:
    """The whole walk."""
    lines = [walked.title, *(f"  {line}" for line in walked.head)]
    for step in walked.steps:
        mark = f"[{step.stage}]" if step.stage else ""
        arrow = _ARROWS.get(step.call.kind if step.call else "hardware", "=>")
        lines.append(f"  {mark:<12}{arrow} {step.function:<36} {place(step.file, step.line)}")
        how = step.call.how if step.call else "hardware"
        lines += [f"{'':14}|    {note}" for note in walked.notes(step)]
        lines += [f"{'':19}{note}" for note in step.remarks]
        lines += [f"{'':19}{line}" for line in walked.others(step)]
        lines += [f"{'':19}{how}: {item.why} ({place(item.file, item.line)})" for item in evidence(step)]
    lines += [f"  {line}" for line in walked.tail]
    if walked.end:
        lines.append(f"  {walked.end}")
    return "\n".join(lines) + "\n"
