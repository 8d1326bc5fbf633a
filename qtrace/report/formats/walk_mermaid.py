"""A walk as a Mermaid flow chart."""

from __future__ import annotations

from qtrace.report.text import plain
from qtrace.report.walked import Walked, place

__all__ = ["write"]


def write(walked: Walked) -> str:
    """The whole walk: stages are round, a call through a pointer is dotted and labelled with its kind."""
    lines = ["flowchart TD"]
    for number, step in enumerate(walked.steps):
        notes = (_quoted(note) for note in walked.notes(step))
        label = "<br/>".join((step.function, place(step.file, step.line), *notes))
        shape = f'["{label}"]' if not step.stage else f'(["<b>{step.stage}</b><br/>{label}"])'
        lines.append(f"    s{number}{shape}")
        if number:
            kind = step.call.kind if step.call else ""
            kind += ", in a loop" if step.call and step.call.loop else ""
            arrow = "-->" if kind == "direct" else f"-. {kind} .->"
            lines.append(f"    s{number - 1} {arrow} s{number}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return plain(text).replace('"', "'").replace("<", "&lt;")
