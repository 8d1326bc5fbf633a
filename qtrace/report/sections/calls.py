"""System calls, kicks and interrupts."""

from __future__ import annotations

from qtrace.report.answers import Answers
from qtrace.report.document import Section, Table
from qtrace.report.rows import of_payload, who
from qtrace.report.section import ReportSection
from qtrace.report.speech import say
from qtrace.report.text import count, plain_number, size

__all__ = ["SECTION"]

_FEWEST = 0.005  # calls per MB; rarer system calls are left out


def write(answers: Answers) -> Section:
    """Packets per system call, system calls per MB, kicks and interrupts per packet."""
    return Section(
        "calls",
        "System calls, kicks and interrupts",
        say(
            "A system call for each packet is expensive; fewer kicks and interrupts than packets show "
            "batching. `I/O calls` are QEMU's reads or writes on the tap or a socket in the payload's "
            "direction; there are none if the kernel carries the frames. Rates stand beside their counts. "
            "System calls below {fewest} per MB (10^6 bytes of payload) are only in the data.",
            fewest=_FEWEST,
        ),
        (_batching(answers), _notifications(answers), _syscalls(answers)),
    )


def _batching(answers: Answers) -> Table:
    heads = "NIC|back end|direction|counted at|#frames|#I/O calls|#frames per I/O call|#all calls"
    lines = [
        (
            *who(row),
            row["direction"],
            row["stage"],
            count(row["frames"]),
            count(row["calls"]),
            plain_number(row["frames_per_call"]),
            count(row["all_calls"]),
        )
        for row in of_payload(answers.ask("batching"))
    ]
    return Table.of("Packets per system call", heads, lines)


def _notifications(answers: Answers) -> Table:
    heads = "NIC|back end|direction|#frames|#kicks|#kicks per frame|#interrupts|#interrupts per frame"
    lines = [
        (
            *who(row),
            row["direction"],
            count(row["frames"]),
            count(row["kicks"]),
            plain_number(row["kicks_per_frame"]),
            count(row["interrupts"]),
            plain_number(row["interrupts_per_frame"]),
        )
        for row in of_payload(answers.ask("notifications"))
    ]
    return Table.of("Kicks and interrupts per packet", heads, lines)


def _syscalls(answers: Answers) -> Table:
    heads = "NIC|back end|direction|$call|on|#per MB|#calls|#errors|#payload"
    lines = [
        (
            *who(row),
            row["way"],
            row["name"],
            row["fd"],
            plain_number(row["calls_per_mb"]),
            count(row["calls"]),
            count(row["errors"]),
            size(row["payload"]),
        )
        for row in answers.ask("syscalls")
        if row["calls_per_mb"] >= _FEWEST
    ]
    return Table.of("System calls per MB by name", heads, lines)


SECTION = ReportSection(800, write, ("batching", "notifications", "syscalls"))
