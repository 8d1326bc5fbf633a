"""The distribution of a NIC's frames over its queues."""

from __future__ import annotations

from qtrace.report.answers import Answers
from qtrace.report.document import Section, Table
from qtrace.report.rows import who
from qtrace.report.section import ReportSection
from qtrace.report.text import count, plain_number, size

__all__ = ["SECTION"]


def write(answers: Answers) -> Section:
    """Frames handed to the peer by queue, then every stage."""
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
        "The frames that each queue of a NIC with several queues has carried: the guest chooses the queue of "
        "a frame that it sends, the back end chooses the queue of a frame for the guest. A queue without "
        "frames has no row.",
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
