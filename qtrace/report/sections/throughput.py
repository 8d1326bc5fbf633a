"""Throughput of each cell, compared with the baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from qtrace.analyses.methods.pairs import FIRST_NIC
from qtrace.report.answers import Answers, Row
from qtrace.report.document import Section, Table
from qtrace.report.figures import Bar, backend_colour, bars
from qtrace.report.ranking import ranked
from qtrace.report.rows import DIRECTIONS, base_name, chosen, who
from qtrace.report.section import ReportSection
from qtrace.report.text import backend, bits, clean, present, span, times

__all__ = ["SECTION"]


def write(answers: Answers) -> Section:
    """TCP throughput: figure and table."""
    rows = answers.ask("throughput")

    def bar(row: Row) -> Bar:
        nic, name = who(row)
        part = (name, row["mean"] / 1e9, backend_colour(backend(row["netdev"], row["datapath"])))
        ends = [present(row[end]) for end in ("low", "high")]
        low, high = (end / 1e9 if end is not None else None for end in ends)
        return Bar(f"{nic}, {name}", (part,), bits(row["mean"]), low, high)

    base = base_name(answers)
    figure = bars("throughput", "TCP throughput of each cell by direction", _panels(rows, bar), "Gbit/s")
    table = Table.of(
        "",
        f"NIC|back end|direction|#throughput|#95 % interval|#of {base}|#95 % interval|#n",
        _compared(rows, bits),
    )
    return Section(
        "throughput",
        "Throughput",
        "TCP payload received, without probes: the geometric mean of n repetitions and the interval that "
        f"covers it with 95 % confidence (Student's t, on logarithms). The ratio is to {base} with the "
        "same NIC and direction in the same repetition (geometric mean). Intervals that overlap widely do "
        "not tell two cells apart.",
        (table,),
        (figure,) if figure else (),
    )


def headline(answers: Answers) -> Iterator[str]:
    """One sentence for each NIC, direction and setting."""
    base = base_name(answers)
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in answers.ask("throughput"):
        groups.setdefault((row["nic"], row["way"], chosen(row)), []).append(row)
    for (nic, way, setting), rows in sorted(groups.items(), key=_first_nic):
        head = ", ".join(filter(None, (clean(nic), DIRECTIONS.get(way, way), clean(setting))))
        yield f"{head}: {ranked(rows, base, bits, more_is_better=True)}."


def _first_nic(item: tuple[tuple[str, str, str], list[Row]]) -> tuple[bool, str, bool, str]:
    nic, way, setting = item[0]
    return nic != FIRST_NIC, nic, way != "tx", setting


def _panels(rows: Sequence[Row], bar: Callable[[Row], Bar]) -> dict[str, list[Bar]]:
    """Bars by direction; directions never share a panel."""
    return {title: [bar(row) for row in rows if row["way"] == way] for way, title in DIRECTIONS.items()}


def _compared(rows: Sequence[Row], form: Callable[[object], str]) -> list[tuple[object, ...]]:
    return [
        (
            *who(row),
            row["way"],
            form(row["mean"]),
            span(form(row["low"]), form(row["high"])),
            times(row["ratio"]),
            span(times(row["ratio_low"]), times(row["ratio_high"])),
            row["n"],
        )
        for row in rows
    ]


SECTION = ReportSection(100, write, ("throughput",), headline=headline)
