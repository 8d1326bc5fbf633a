"""Why one cell is faster than another: the measured ratio as a product of factors, for each pair."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.report.answers import Answers
from qtrace.report.document import Section, Table
from qtrace.report.pair_rows import ComparedPair, compared_pairs, quantity
from qtrace.report.section import ReportSection
from qtrace.report.text import clean, span, times

__all__ = ["SECTION"]


def write(answers: Answers) -> Section:
    """A table for each pair: every factor with its two values, its number, and the stage where it shows."""
    return Section(
        "factors",
        "Why: the ratios taken apart",
        "Each table takes one measured ratio apart. The factors at the margin multiply to the ratio, and "
        "those set in below a factor multiply to that factor; with the rest the product is exact. Numbers "
        "are from measurements without probes; the stage at which a factor shows, system calls and functions "
        "are from measurements with probes, whose traffic may differ (see the ledger). `processors busy` "
        "is the CPU time of all threads of QEMU and of vhost in a second; `time around the traffic` is the "
        "measurement's duration over that of its traffic: start and end of the workload. Under TCG the "
        "guest's code runs `in QEMU`.",
        tuple(_table(pair) for pair in compared_pairs(answers)),
    )


def _table(pair: ComparedPair) -> Table:
    one, two = pair.names
    lines = [_line("measured ratio", pair.whole, "")]
    for row in pair.factors:
        depth = row["of"].count(" / ") + 1 if row["of"] else 0
        lines.append(_line("\u2003" * depth + clean(row["factor"]), row, pair.stage_of(row)))
    lines.append(_line("rest, unexplained", pair.rest, ""))
    heads = f"factor|#{one.replace('|', ' ')}|#{two.replace('|', ' ')}|#times|#95 %|shows at"
    return Table.of(pair.title, heads, lines, said(pair))


def said(pair: ComparedPair) -> str:
    """`user is 0.116 × tap (0.102 to 0.133 ×): a frame carries … (0.028 ×); …`."""
    one, two = pair.names
    row = pair.whole
    ends = span(times(row["low"]), times(row["high"]))
    slower = (row["times"] < 1) == (row["metric"] == "throughput")
    verdict = (
        f"{one} is {'slower' if slower else 'faster'}" if pair.is_told else f"{one} cannot be told from {two}"
    )
    head = f"{verdict}: {times(row['times'])} {two} ({ends})"
    parts = list(pair.why())
    return f"{head}, because {'; '.join(parts)}." if parts else f"{head}. No factor's interval excludes 1."


def _line(name: str, row: dict[str, object], stage: str) -> tuple[object, ...]:
    unit = str(row["unit"])
    return (
        name,
        *(quantity(row[side], unit) for side in ("value", "than_value")),
        times(row["times"]),
        span(times(row["low"]), times(row["high"])),
        stage,
    )


def because(answers: Answers) -> Iterator[str]:
    """The reason of each ratio whose interval excludes 1."""
    for pair in compared_pairs(answers):
        if pair.is_told:
            yield f"{pair.title.partition(': ')[0]}: {said(pair)}"


SECTION = ReportSection(20, write, ("factors", "factor_stages"), because=because)
