"""The commands that make the report again."""

from __future__ import annotations

import shlex
from pathlib import Path

from qtrace.report.answers import Answers
from qtrace.report.document import Section
from qtrace.report.section import ReportSection
from qtrace.report.text import clean

__all__ = ["SECTION"]


def write(answers: Answers) -> Section:
    """The commands, without the folders of the machine that measured: a reader needs only names."""
    meta = answers.run.meta
    code = [f"qtrace report {shlex.quote(clean(meta['id']))}"]
    command = meta.get("command")
    if isinstance(command, list) and command:
        parts = ["qtrace", *(clean(part) for part in command)]
        code.append(shlex.join(Path(part).name if part.startswith("/") else part for part in parts))
    return Section(
        "again",
        "Make it again",
        "The first command renders this report from the stored run; the second measures again.",
        code=tuple(code),
    )


SECTION = ReportSection(1800, write)
