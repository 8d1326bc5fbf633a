"""Time of frames from their first stage to their last, and the share of frames that could be followed."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.report.answers import Answers
from qtrace.report.document import Section, Table
from qtrace.report.rows import bare, known
from qtrace.report.section import PathRows, ReportSection
from qtrace.report.speech import say, told
from qtrace.report.text import clean, count, duration

__all__ = ["SECTION"]


def write(answers: Answers) -> Section:
    """All pairs of ends with their quantiles and their share of followed frames."""

    lines = [
        (
            *bare(row),
            f"{row['workload']} {row['way']}",
            row["direction"],
            row["from_stage"],
            row["to_stage"],
            known(row, "p50"),
            known(row, "p99"),
            count(row["frames"]),
            count(row["matched"]),
            count(row["ambiguous"]),
            count(row["unmatched"]),
        )
        for row in answers.ask("frame_latency")
        if row["frames"]
    ]
    heads = "NIC|back end|traffic|direction|from|to|#p50|#p99|#frames|#matched|#ambiguous|#unmatched"
    return Section(
        "frame-latency",
        "Time from the first stage to the last",
        "Each frame is followed on its thread from the first stage that counts frames to the last, also "
        "through a queue if no other frame waited in it. `ambiguous` frames arrived while several were "
        "waiting; `unmatched` frames were dropped, waited, or were under way at an end of the window. The "
        "times are those of the matched frames. A quantile lies between the bounds of its histogram bucket, "
        "which stand in parentheses.",
        (Table.of("", heads, lines),),
    )


def in_words(path: PathRows) -> Iterator[str]:
    """A line for each pair of ends: the times, and the number of frames followed."""
    for row in path.ask("frame_latency"):
        if not row["frames"]:
            continue
        first, last = clean(row["from_stage"]), clean(row["to_stage"])
        line = say("first stage to last ({first} to {last}): ", first=first, last=last)
        if row["p50_ns"]:
            line += say("p50 {p50}, p99 {p99}; ", p50=duration(row["p50_ns"]), p99=duration(row["p99_ns"]))
        matched, of = count(row["matched"]), count(row["frames"])
        line += say("{number} of {of} frames followed", number=matched, of=of)
        rest = [f"{count(row[kind])} {told(kind)}" for kind in ("ambiguous", "unmatched") if row[kind]]
        yield line + (say(" ({reason})", reason=say(", ").join(rest)) if rest else "")


SECTION = ReportSection(600, write, ("frame_latency",), in_words=in_words)
