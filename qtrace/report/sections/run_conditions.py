"""The conditions of the run."""

from __future__ import annotations

from qtrace.report.answers import Answers
from qtrace.report.document import Section, Table
from qtrace.report.section import ReportSection

__all__ = ["SECTION"]


def write(answers: Answers) -> Section:
    """The venue, the machine and the plan of the run."""
    meta = answers.run.meta
    rows: list[tuple[object, object]] = [("venue", meta["venue"])]
    if meta.get("venue_reason"):
        rows.append(("why this venue", meta["venue_reason"]))
    rows += list(meta["conditions"].items())
    rows += [
        (f"plan: {key}", _said(value)) for key, value in answers.plan.items() if key not in ("cells", "title")
    ]
    rows.append(("measured", f"{answers.cells} cells, {answers.repetitions} repetitions, {answers.probing}"))
    return Section(
        "conditions",
        "Conditions",
        "The numbers of this report hold under these conditions only. Numbers of another venue or machine "
        "belong in another report.",
        (Table.of("", "condition|value", rows),),
    )


def _said(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_said(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_said(item) for item in value)
    return str(value)


SECTION = ReportSection(0, write)
