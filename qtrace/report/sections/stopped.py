"""Frames that waited, and frames that went no further."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.report.answers import Answers
from qtrace.report.document import Section, Table
from qtrace.report.rows import who
from qtrace.report.section import PathRows, ReportSection
from qtrace.report.speech import say, told
from qtrace.report.text import clean, count, duration

__all__ = ["SECTION"]


def write(answers: Answers) -> Section:
    """Frames that waited, and frames that went no further."""
    waits = [
        (
            *who(row),
            row["direction"],
            row["from_stage"],
            row["to_stage"],
            duration(row["p50_ns"]),
            duration(row["p99_ns"]),
            count(row["count"]),
        )
        for row in answers.ask("waiting")
    ]
    stops = [
        (
            *who(row),
            row["direction"],
            row["stage"],
            row["function"],
            count(row["frames"]),
            row["why"],
        )
        for row in answers.ask("stopped")
    ]
    return Section(
        "stopped",
        "Frames that waited, and frames that went no further",
        "A frame waits while it is in a queue of QEMU, from the last stage before the queue to the first "
        "stage behind it; if several waited together, only their number is known. For frames that went no "
        "further, the table has the last stage, and the reason as far as the stage and the state of both "
        "ends show it.",
        (
            Table.of("Time in a queue", "NIC|back end|direction|from|to|#p50|#p99|#frames", waits),
            Table.of("Went no further", "NIC|back end|direction|after|$function|#frames|why", stops),
        ),
    )


def in_words(path: PathRows) -> Iterator[str]:
    """Lines on the frames that waited, and on those that stopped."""
    for row in path.ask("waiting"):
        yield say(
            "waited between {first} and {last}: {number} frames, p50 {p50}, p99 {p99}",
            first=clean(row["from_stage"]),
            last=clean(row["to_stage"]),
            number=count(row["count"]),
            p50=duration(row["p50_ns"]),
            p99=duration(row["p99_ns"]),
        )
    for row in path.ask("stopped"):
        number, why = count(row["frames"]), told(clean(row["why"]))
        if row["stage"]:
            where = f"{clean(row['stage'])} ({clean(row['function'])})"
            yield say("stopped at {where}: {number} frames: {why}", where=where, number=number, why=why)
        else:
            yield say("stopped on the way: {number} frames: {why}", number=number, why=why)


SECTION = ReportSection(700, write, ("waiting", "stopped"), in_words=in_words)
