"""The QEMUs of one run against each other, cell by cell."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from qtrace.analyses.methods.run_comparison import MARGIN
from qtrace.report.answers import Answers, Row
from qtrace.report.document import Section, Table
from qtrace.report.pair_rows import quantity
from qtrace.report.rows import bare, traffic
from qtrace.report.section import ReportSection
from qtrace.report.sentences import sentences
from qtrace.report.speech import say, told
from qtrace.report.text import bits, clean, microseconds, span, times

__all__ = ["SECTION"]

_HEADS = "NIC|back end|traffic|metric|#QEMU {than}|#QEMU {qemu}|#ratio|#95 % interval|#n|verdict"


def write(answers: Answers) -> Section:
    """A table for each QEMU but the oldest, with which the others are compared."""
    rows = answers.ask("qemus")
    pairs = dict.fromkeys((clean(row["than_qemu"]), clean(row["qemu"])) for row in rows)
    tables = [
        Table.of(
            say("QEMU {qemu} against {than}", qemu=qemu, than=than),
            _HEADS.format(qemu=qemu, than=than),
            [_line(row) for row in rows if (clean(row["than_qemu"]), clean(row["qemu"])) == (than, qemu)],
        )
        for than, qemu in pairs
    ]
    later = any(row["in_turns"] is False for row in rows)
    return Section(
        "qemus",
        "One QEMU against another",
        say(
            "The same cell in two releases, means without probes; nothing but QEMU differs, with the "
            "libraries and the firmware that it comes with. Every other number of this report is of one"
            " QEMU, which its traffic names. The ratio is taken within each repetition. The verdict is "
            "that of `qtrace compare`: slower, faster, same (within {margin} %) or not known, corrected"
            " (Holm) for there being many.",
            margin=f"{100 * MARGIN:g}",
        )
        + say(
            " Where one QEMU was measured after the other, and not in turns, a drift of the machine is in it."
        )
        * later,
        tuple(tables),
    )


def _line(row: Row) -> tuple[object, ...]:
    form = _form(str(row["metric"]))
    why = say(": {reason}", reason=told(clean(row["reason"]))) if row["reason"] else ""
    turns = "" if row["in_turns"] else say(" (not in turns)")
    return (
        *bare(row),
        traffic(row),
        clean(row["metric"]),
        form(row["than_value"]),
        form(row["value"]),
        times(row["ratio"]),
        span(times(row["low"]), times(row["high"])),
        row["n"],
        f"{told(clean(row['verdict']))}{why}{turns}",
    )


def _form(metric: str) -> Callable[[object], str]:
    if metric.endswith("_p50"):
        return microseconds
    return bits if metric.endswith("throughput") else lambda value: quantity(value, "1/s")


def headline(answers: Answers) -> Iterator[str]:
    """What the analysis says, among the first sentences of the report."""
    yield from sentences(answers, "qemus")


SECTION = ReportSection(8, write, ("qemus",), headline=headline)
