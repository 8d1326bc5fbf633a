"""A report's answers as text for a terminal: warnings, what is fastest, why, each section's sentences."""

from __future__ import annotations

from qtrace.report.document import Document
from qtrace.report.speech import say, speaking

__all__ = ["to_text"]


def to_text(document: Document) -> str:
    """The answers without tables and figures."""
    with speaking(document.language):
        return _text(document)


def _text(document: Document) -> str:
    parts = [document.title, *(f"!!  {alert}" for alert in document.alerts), document.subtitle, ""]
    parts += [f"- {line}" for line in document.headline]
    if document.because:
        parts += ["", say("Why:"), *(f"- {line}" for line in document.because)]
    for section in document.sections:
        if section.said:
            parts += ["", say("{title}:", title=section.title), *(f"  {line}" for line in section.said)]
    return "\n".join(parts) + "\n"
