"""TCP connections of each cell, compared with the baseline."""

from __future__ import annotations

from qtrace.report.answers import Answers, Row
from qtrace.report.document import Section, Table
from qtrace.report.rows import base_name, who
from qtrace.report.section import ReportSection
from qtrace.report.text import microseconds, plain_number, span, times

__all__ = ["SECTION"]


def write(answers: Answers) -> Section:
    """A row a cell: the rate with its ratio, then how long one connection takes."""
    by_cell: dict[tuple[str, str], dict[str, Row]] = {}
    for row in answers.ask("connections"):
        by_cell.setdefault(who(row), {})[row["metric"]] = row
    lines = []
    for (nic, name), metrics in sorted(by_cell.items()):
        if not (rate := metrics.get("connection_rate", {})):
            continue
        quantiles = (metrics.get(f"crr_{which}") for which in ("p50", "p90", "p99"))
        lines.append(
            (
                nic,
                name,
                plain_number(rate["mean"]),
                span(plain_number(rate["low"]), plain_number(rate["high"])),
                times(rate["ratio"]),
                span(times(rate["ratio_low"]), times(rate["ratio_high"])),
                *(microseconds(row["mean"]) if row else "" for row in quantiles),
                rate["n"],
            )
        )
    heads = f"#1/s|#95 % interval|#of {base_name(answers)}|#95 % interval|#p50|#p90|#p99|#n"
    return Section(
        "connections",
        "Connections",
        "TCP connections one after the other, each with a request and a reply of 64 bytes, without probes: "
        "how many a second, with the interval of the mean over n repetitions, and how long one takes from "
        "before connect until after close (the mean of the repetitions' own quantiles).",
        (Table.of("", f"NIC|back end|{heads}", lines),),
    )


SECTION = ReportSection(250, write, ("connections",))
