"""How a NIC's queues share its frames."""

from __future__ import annotations

from qtrace.report.answers import Answers
from qtrace.report.document import Section, Table
from qtrace.report.rows import who
from qtrace.report.section import ReportSection
from qtrace.report.text import count, plain_number, size

__all__ = ["SECTION"]


def write(answers: Answers) -> Section:
    """What was handed to the peer by queue, then every stage."""
    rows = [row for row in answers.ask("queues") if row["stage"]]
    handed = [
        (
            *who(row),
            row["netdev_id"],
            row["direction"],
            row["queue"],
            count(row["frames"]),
            size(row["bytes"]),
            f"{plain_number(100 * row['share'])} %",
        )
        for row in rows
        if row["stage"] == "deliver" and row["frames"]
    ]
    counted = [
        (
            *who(row),
            row["netdev_id"],
            row["direction"],
            row["stage"],
            row["function"],
            row["queue"],
            count(row["calls"]),
            count(row["frames"]),
        )
        for row in rows
    ]
    return Section(
        "queues",
        "Frames by queue",
        "Of NICs with several queues, what each has carried: the guest chooses the queue of what it sends, "
        "the back end that of what it receives. A queue that has carried nothing has no row.",
        (
            Table.of(
                "Handed to the peer", "NIC|back end|netdev|direction|#queue|#frames|#bytes|#share", handed
            ),
            Table.of(
                "Every stage by queue",
                "NIC|back end|netdev|direction|stage|$function|#queue|#calls|#frames",
                counted,
            ),
        ),
    )


SECTION = ReportSection(450, write, ("queues",))
