"""The ledger: losses, failures, and counts that cover only a part."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.analyses.methods.traffic_change import CHANGED
from qtrace.report.answers import Answers
from qtrace.report.document import Section, Table
from qtrace.report.section import ReportSection
from qtrace.report.speech import say, told
from qtrace.report.text import clean, count

__all__ = ["SECTION"]


def write(answers: Answers) -> Section:
    """Losses and failures, then counts that cover only a part."""
    lines = [
        (row["kind"], row["item"], count(row["count"]), row["measurements"], row["cells"], row["note"])
        for row in answers.ask("ledger")
    ]
    reading = say(
        "Events that were lost, missed or sampled, and failures, beside the counts. "
        "`lost` and `failed` make numbers wrong or absent; the other kinds limit what a number covers."
    )
    if not lines:
        reading = say("Nothing was lost, missed or sampled, and nothing failed.")
    return Section(
        "ledger",
        "Ledger",
        reading,
        (Table.of("", "kind|item|#count|#measurements|cells|note", lines),),
    )


def alerts(answers: Answers) -> Iterator[str]:
    """What was lost, and where probing changed what was to be measured."""
    for row in answers.whole("ledger"):
        if row["kind"] == "lost":
            yield say(
                "Lost: {item}: {number} ({note}).",
                item=told(clean(row["item"])),
                number=f"{row['count']:,}",
                note=told(clean(row["note"])),
            )
    changed = dict.fromkeys(clean(row["cells"]) for row in answers.whole("ledger") if row["kind"] == CHANGED)
    if changed:
        names = say("; ").join(list(changed)[:3]) + (" …" if len(changed) > 3 else "")
        yield say(
            "Probing changed the traffic in {number} of {of} cells ({names}): what was counted "
            "with probes is there of another traffic. The ledger has the numbers.",
            number=len(changed),
            of=answers.cells,
            names=names,
        )


SECTION = ReportSection(1700, write, ("ledger",), always=True, alerts=alerts)
