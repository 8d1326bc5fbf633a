"""The cost of the probes."""

from __future__ import annotations

from qtrace.report.answers import Answers, Row
from qtrace.report.document import Section, Table
from qtrace.report.rows import who
from qtrace.report.section import ReportSection
from qtrace.report.speech import say, told
from qtrace.report.text import MISSING, bits, clean, microseconds, span, times

__all__ = ["SECTION"]


def write(answers: Answers) -> Section:
    """Ratios of measurements with probes to measurements without, or the reason for there being none."""
    names = {"throughput": ("throughput", bits), "rtt_p50": ("round trip p50", microseconds)}
    lines = []
    for row in answers.ask("probe_cost"):
        name, form = names[row["metric"]]
        ends = span(times(row["ratio_low"]), times(row["ratio_high"]))
        lines.append(
            (
                *who(row),
                row["way"],
                name,
                form(row["plain"]),
                form(row["probed"]),
                MISSING if row["changed"] else times(row["ratio"]),
                MISSING if row["changed"] else ends,
                row["n"],
                say("no cost: probing changed the traffic: {how}", how=_changes(row))
                if row["changed"]
                else "",
            )
        )
    return Section(
        "cost",
        "The cost of the probes",
        "The ratio of a cell with probes to the same cell without, paired by repetition: a throughput of "
        "0.80 × means that the probes took a fifth; a round trip above 1 × means that the probes made it "
        "longer. In all sections, counts are from measurements with probes, and speeds from those without. "
        "Where the probes changed the batches, it was another traffic: no cost is computed.",
        (
            Table.of(
                "",
                "NIC|back end|direction|metric|#without|#with|#with / without|#95 % interval|#n|note",
                lines,
            ),
        ),
    )


def _changes(row: Row) -> str:
    return say("; ").join(told(part) for part in clean(row["changed"]).split("; "))


SECTION = ReportSection(1500, write, ("probe_cost",))
