"""The ledger: what was lost, failed, or covers less than everything."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.report.answers import Answers
from qtrace.report.document import Section, Table
from qtrace.report.section import ReportSection
from qtrace.report.text import clean, count

__all__ = ["SECTION"]


def write(answers: Answers) -> Section:
    """Loss and failures, then what covers less than everything."""
    lines = [
        (row["kind"], row["item"], count(row["count"]), row["measurements"], row["cells"], row["note"])
        for row in answers.ask("ledger")
    ]
    reading = "What was lost, missed, sampled or failed, beside what was counted. "
    reading += "`lost` and `failed` make numbers wrong or absent; the other kinds say what a number covers."
    if not lines:
        reading = "Nothing was lost, missed or sampled, and nothing failed."
    return Section(
        "ledger",
        "Ledger",
        reading,
        (Table.of("", "kind|item|#count|#measurements|cells|note", lines),),
    )


def alerts(answers: Answers) -> Iterator[str]:
    """What was lost."""
    for row in answers.ask("ledger"):
        if row["kind"] == "lost":
            yield f"Lost: {clean(row['item'])}: {row['count']:,} ({clean(row['note'])})."


SECTION = ReportSection(1700, write, ("ledger",), always=True, alerts=alerts)
