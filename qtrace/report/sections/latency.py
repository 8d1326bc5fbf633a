"""Round-trip times of each cell, compared with the baseline."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.analyses.methods.pairs import FIRST_NIC
from qtrace.report.answers import Answers, Row
from qtrace.report.document import Section, Table
from qtrace.report.figures import Bar, backend_colour, bars, fitting
from qtrace.report.ranking import ranked
from qtrace.report.rows import base_name, who
from qtrace.report.section import ReportSection
from qtrace.report.speech import say
from qtrace.report.text import backend, clean, microseconds, present, span, times

__all__ = ["SECTION"]


def write(answers: Answers) -> Section:
    """Round trips: a figure of the medians with a tick at p99, and a table of all quantiles."""
    by_cell: dict[tuple[str, str], dict[str, Row]] = {}
    for row in answers.ask("latency"):
        by_cell.setdefault(who(row), {})[row["metric"]] = row
    unit, size = fitting((row["mean"] for row in answers.ask("latency")), {"s": 1e6, "ms": 1e3, "µs": 1.0})
    found: list[Bar] = []
    lines: list[tuple[object, ...]] = []
    for (nic, name), metrics in sorted(by_cell.items()):
        if not (row := metrics.get("rtt_p50", {})):
            continue
        tail = present(metrics["rtt_p99"]["mean"]) if "rtt_p99" in metrics else None
        part = (name, row["mean"] / size, backend_colour(backend(row["netdev"], row["datapath"])))
        low, high, mark = (
            None if end is None else end / size for end in (present(row["low"]), present(row["high"]), tail)
        )
        found.append(Bar(f"{nic}, {name}", (part,), microseconds(row["mean"]), low, high, mark))
        others = [
            microseconds(metrics[key]["mean"]) if key in metrics else "" for key in ("rtt_p90", "rtt_p99")
        ]
        interval = span(microseconds(row["low"]), microseconds(row["high"]))
        ratio_ends = span(times(row["ratio_low"]), times(row["ratio_high"]))
        lines.append(
            (
                nic,
                name,
                microseconds(row["mean"]),
                interval,
                *others,
                times(row["ratio"]),
                ratio_ends,
                row["n"],
            )
        )
    base = base_name(answers)
    text = say("Median round-trip time of each cell, tick at p99")
    figure = bars("latency", text, {say("round trip"): found}, unit)
    of_base = say("p50 of {base}", base=base)
    table = Table.of("", f"NIC|back end|#p50|#95 % interval|#p90|#p99|#{of_base}|#95 % interval|#n", lines)
    return Section(
        "latency",
        "Round-trip latency",
        "One small message at a time, there and back, without probes. Each figure is the geometric mean over "
        "n repetitions of that repetition's own quantile; the interval is that of this mean, the tick "
        "in the figure is p99. A ratio above 1 is slower.",
        (table,),
        (figure,) if figure else (),
    )


def headline(answers: Answers) -> Iterator[str]:
    """One sentence for each NIC."""
    base = base_name(answers)
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in answers.ask("latency"):
        if row["metric"] == "rtt_p50":
            groups.setdefault((row["nic"], row["workload"]), []).append(row)
    for (nic, workload), rows in sorted(groups.items(), key=lambda item: (item[0][0] != FIRST_NIC, item[0])):
        name = say("median round trip")
        if workload != "rr":
            name = say("median round trip of {workload}", workload=clean(workload))
        said = ranked(rows, base, microseconds, more_is_better=False)
        yield say("{nic}, {name}: {said}.", nic=clean(nic), name=name, said=said)


SECTION = ReportSection(200, write, ("latency",), headline=headline)
