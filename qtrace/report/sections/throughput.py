"""Throughput of each cell, compared with the baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from qtrace.analyses.methods.pairs import FIRST_NIC
from qtrace.report.answers import Answers, Row
from qtrace.report.document import Section, Table
from qtrace.report.figures import Bar, backend_colour, bars, fitting
from qtrace.report.ranking import ranked
from qtrace.report.rows import base_name, compared, titled, who
from qtrace.report.section import ReportSection
from qtrace.report.speech import say
from qtrace.report.text import backend, bits, clean, present

__all__ = ["SECTION"]


def write(answers: Answers) -> Section:
    """Throughput: figure and table."""
    rows = answers.ask("throughput")

    unit, size = fitting((row["mean"] for row in rows), {"Gbit/s": 1e9, "Mbit/s": 1e6, "kbit/s": 1e3})

    def bar(row: Row) -> Bar:
        nic, name = who(row)
        part = (name, row["mean"] / size, backend_colour(backend(row["netdev"], row["datapath"])))
        ends = [present(row[end]) for end in ("low", "high")]
        low, high = (end / size if end is not None else None for end in ends)
        return Bar(f"{nic}, {name}", (part,), bits(row["mean"]), low, high)

    base = base_name(answers)
    figure = bars("throughput", say("Throughput of each cell by direction"), _panels(rows, bar), unit)
    table = Table.of(
        "",
        f"NIC|back end|traffic|#throughput|#95 % interval|#{say('of {base}', base=base)}|#95 % interval|#n",
        [compared(row, bits) for row in rows],
    )
    return Section(
        "throughput",
        "Throughput",
        say(
            "Payload received, without probes: the geometric mean of n repetitions and the interval that "
            "covers it with 95 % confidence (Student's t, on logarithms). The ratio is to {base} with the "
            "same NIC and direction in the same repetition (geometric mean). Intervals that overlap widely "
            "do not tell two cells apart.",
            base=base,
        ),
        (table,),
        (figure,) if figure else (),
    )


def headline(answers: Answers) -> Iterator[str]:
    """One sentence for each NIC and direction."""
    base = base_name(answers)
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in answers.ask("throughput"):
        groups.setdefault((row["nic"], titled(row)), []).append(row)
    for (nic, name), rows in sorted(groups.items(), key=lambda item: (item[0][0] != FIRST_NIC, item[0][0])):
        said = ranked(rows, base, bits, more_is_better=True)
        yield say("{nic}, {name}: {said}.", nic=clean(nic), name=name, said=said)


def _panels(rows: Sequence[Row], bar: Callable[[Row], Bar]) -> dict[str, list[Bar]]:
    """Bars by direction and workload, which never share a panel."""
    titles = dict.fromkeys(titled(row) for row in rows)
    return {title: [bar(row) for row in rows if titled(row) == title] for title in titles}


SECTION = ReportSection(100, write, ("throughput",), headline=headline)
