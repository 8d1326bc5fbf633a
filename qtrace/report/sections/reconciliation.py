"""Traced frames compared with the device's own counters."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.report.answers import Answers
from qtrace.report.document import Section, Table
from qtrace.report.rows import traffic, who
from qtrace.report.section import ReportSection
from qtrace.report.speech import say
from qtrace.report.text import count

__all__ = ["SECTION"]


def write(answers: Answers) -> Section:
    """Traced frames compared with the device's counters."""
    lines = [
        (
            *who(row),
            traffic(row),
            row["direction"],
            row["stage"],
            row["function"],
            count(row["frames"]),
            count(row["device_frames"]),
            f"{int(row['difference']):+,}".replace("+0", "0"),
            count(row["device_dropped"]),
        )
        for row in answers.ask("reconciliation")
    ]
    heads = "NIC|back end|traffic|direction|stage|$function|#traced|#device|#difference|#dropped"
    edges = say("traffic on the window's edges")
    if any(row["netdev"] == "vde" for row in answers.ask("reconciliation")):
        edges += say(", or on vde what its switch had no room to pass on")
    return Section(
        "reconciliation",
        "Against the tap device's own counters",
        say(
            "Frames that the probes counted and frames that the tap device counted over the same window; "
            "nothing is rounded. A difference of a few frames is {edges}; more than that is an error.",
            edges=edges,
        ),
        (Table.of("", heads, lines),),
    )


def headline(answers: Answers) -> Iterator[str]:
    """Both sums and their differences in a sentence."""
    rows = answers.whole("reconciliation")
    if rows:
        traced, seen = (sum(row[key] for row in rows) for key in ("frames", "device_frames"))
        off = sum(abs(row["difference"]) for row in rows)
        yield say(
            "The probes counted {traced} frames on tap where the device's own counters say "
            "{seen}; the differences of the rows add up to {off}.",
            traced=count(traced),
            seen=count(seen),
            off=count(off),
        )


SECTION = ReportSection(1400, write, ("reconciliation",), headline=headline)
