"""Times between neighbouring stages."""

from __future__ import annotations

from qtrace.model import STAGE_ORDER, Direction, Role
from qtrace.report.answers import Answers, Row
from qtrace.report.document import Section, Table
from qtrace.report.figures import PARTS, Bar, bars, fitting
from qtrace.report.rows import direction_name, known, of_payload, who
from qtrace.report.section import ReportSection
from qtrace.report.speech import say
from qtrace.report.text import count, duration

__all__ = ["SECTION"]


def write(answers: Answers) -> Section:
    """Stacked medians by path, and all quantiles."""
    rows = sorted(of_payload(answers.ask("stage_latency")), key=_place)
    # Each stage has one colour in both panels: its bar is the time from this stage to the next.
    colours = dict(zip((role.value for role in Role), PARTS, strict=True))
    sums: dict[tuple[str, ...], float] = {}
    for row in rows:
        key = (*who(row), row["direction"])
        sums[key] = sums.get(key, 0.0) + (row["p50_ns"] or 0.0)
    unit, size = fitting(sums.values(), {"ms": 1e6, "µs": 1e3})
    panels: dict[str, list[Bar]] = {}
    for direction in Direction:
        cells: dict[tuple[str, str], list[tuple[str, float, str]]] = {}
        for row in rows:
            if row["direction"] == direction.value and row["p50_ns"]:
                after = row["from_stage"]
                part = (
                    say("after {stage}", stage=after),
                    row["p50_ns"] / size,
                    colours.get(after, PARTS[-1]),
                )
                cells.setdefault(who(row), []).append(part)
        panels[direction_name(direction.value)] = [
            Bar(f"{nic}, {name}", tuple(parts), duration(sum(part[1] for part in parts) * size))
            for (nic, name), parts in sorted(cells.items())
        ]
    text = say("Median time between neighbouring stages, stacked, by path")
    figure = bars("stages", text, panels, say("sum of the medians, {unit}", unit=unit), legend=True)

    lines = [
        (
            *who(row),
            row["direction"],
            row["from_stage"],
            row["to_stage"],
            known(row, "p50"),
            known(row, "p90"),
            known(row, "p99"),
            count(row["count"]),
        )
        for row in rows
    ]
    heads = "NIC|back end|direction|from|to|#p50|#p90|#p99|#passages"
    return Section(
        "stage-latency",
        "Time between neighbouring stages",
        "From histograms kept in the kernel with one bucket for each power of two: a quantile is "
        "interpolated within its bucket, whose bounds stand in parentheses. The times include the probes' "
        "own time. Medians do not add up exactly to the median of the whole path; the figure shows where "
        "most of the time passes.",
        (Table.of("", heads, lines),),
        (figure,) if figure else (),
    )


def _place(row: Row) -> tuple[bool, str, str, str, int]:
    """Sort key: the order in which a frame passes the edges; tx before rx."""
    order = [role.value for role in STAGE_ORDER[Direction(row["direction"])]]
    at = order.index(row["from_stage"]) if row["from_stage"] in order else len(order)
    return (row["direction"] == "rx", row["nic"], row["netdev"], row["datapath"], at)


SECTION = ReportSection(500, write, ("stage_latency",))
