"""Retransmissions of libslirp (level full)."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.model import Direction
from qtrace.report.answers import Answers
from qtrace.report.document import Section, Table
from qtrace.report.rows import place, who
from qtrace.report.section import PathRows, ReportSection
from qtrace.report.speech import say, told
from qtrace.report.text import MISSING, clean, count

__all__ = ["SECTION"]


def write(answers: Answers) -> Section:
    """Retransmissions of libslirp by kind."""
    lines = [
        (
            *who(row),
            row["kind"],
            place(row),
            count(row["count"]) if row["attached"] else MISSING,
            row["note"],
        )
        for row in answers.ask("retransmissions")
    ]
    return Section(
        "retransmissions",
        "Retransmissions of libslirp",
        "TCP between libslirp and the guest, counted where libslirp sends: `timeout` is a retransmission "
        "timer that expired, `fast` a third duplicate ACK, `window probe` a byte into the guest's closed "
        "window, which is no loss. The kernel handles TCP on the host's side of libslirp.",
        (Table.of("", "NIC|back end|kind|$function|#times|note", lines),),
    )


def in_words(path: PathRows) -> Iterator[str]:
    """A line with all kinds, only for the direction to the guest: libslirp sends in no other."""
    again = path.ask("retransmissions") if path.direction is Direction.RX else ()
    if again and again[0]["attached"]:
        parts = [f"{count(row['count'])} {clean(row['kind'])}" for row in again]
        yield say("retransmissions of libslirp's TCP: {kinds}", kinds=", ".join(parts))
    elif again:
        note = told(clean(again[0]["note"]))
        yield say("libslirp's retransmissions not measured: {note}", note=note)


SECTION = ReportSection(1000, write, ("retransmissions",), in_words=in_words)
