"""Heat maps: every NIC on every back end, one map for each workload and direction."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from qtrace.analyses.methods.data import CELL, cell_parts, headlines
from qtrace.report.answers import Answers, Row
from qtrace.report.document import Figure, Section, Table
from qtrace.report.heat_map import HeatCell, HeatMap, draw_heat_maps
from qtrace.report.pair_rows import quantity
from qtrace.report.rows import base_name, direction_name
from qtrace.report.section import ReportSection
from qtrace.report.speech import say, told
from qtrace.report.text import backend, bits, clean, microseconds, times

__all__ = ["SECTION"]

_Key = tuple[str, str]
_REST = [name for name in CELL if name not in ("nic", "netdev", "datapath", "way", "workload")]


def write(answers: Answers) -> Section:
    """A figure for each metric; its maps share one scale."""
    rows = _every_row(answers)
    if answers.is_large:  # more than maps can show: the section `overview` has one map for all settings
        rows = []
    figures: list[Figure] = []
    missing: list[tuple[str, ...]] = []
    for metric in sorted(headlines(answers.data), key=lambda name: name.endswith("_p50")):
        mine = [row for row in rows if row["metric"] == metric]
        if not mine:
            continue
        is_time = metric.endswith("_p50")
        form = microseconds if is_time else bits if metric.endswith("throughput") else _a_second
        figure, holes = _figure(answers, metric, mine, form, more=not is_time)
        figures += [figure] if figure else []
        missing += holes
    return Section(
        "heat-maps",
        "Every NIC on every back end",
        say(
            "Means without probes. The stronger the colour, the better; the maps of a figure share one "
            "logarithmic scale. Below a value stands its ratio to {base} with the same NIC, in parentheses "
            "where the 95 % interval holds 1. A dash was not measured, for the reason below it.",
            base=base_name(answers),
        ),
        (Table.of("Not measured", "NIC|back end|traffic|reason", missing),),
        tuple(figures),
    )


def _every_row(answers: Answers) -> list[Row]:
    return [row for name in ("throughput", "latency", "workload_metrics") for row in answers.whole(name)]


def _a_second(value: object) -> str:
    return quantity(value, "1/s")


def _figure(
    answers: Answers, metric: str, rows: Iterable[Row], form: Callable[[object], str], *, more: bool
) -> tuple[Figure | None, list[tuple[str, ...]]]:
    by_traffic: dict[tuple[str, ...], dict[_Key, HeatCell]] = {}
    for row in rows:
        key = tuple(str(row[name]) for name in ("workload", "way", *_REST))
        by_traffic.setdefault(key, {})[_who(row)] = HeatCell(row["mean"], _against(row))
    reasons = {
        tuple(str(row[name]) for name in CELL): say("failed: {reason}", reason=told(clean(row["reason"])))
        for row in answers.failures()
    }
    for item in answers.run.meta.get("left_out", ()):
        reasons[tuple(cell_parts(str(item["cell"])))] = told(clean(item["reason"]))
    maps: list[HeatMap] = []
    missing: list[tuple[str, ...]] = []
    nics, backs = _axes(answers)
    for traffic, cells in by_traffic.items():
        for cell, reason in reasons.items():
            row = dict(zip(CELL, cell, strict=True))
            if traffic == tuple(row[name] for name in ("workload", "way", *_REST)):
                cells.setdefault(_who(row), HeatCell(None, why=clean(reason)))
        title = say(", ").join([traffic[0], direction_name(traffic[1]), *filter(None, traffic[2:])])
        for nic in nics:
            for back in backs:
                cells.setdefault((nic, back), HeatCell(None, why=say("not in the plan")))
                if cells[nic, back].value is None:
                    missing.append((nic, back, title, cells[nic, back].why))
        maps.append(HeatMap(title, nics, backs, cells, form, more))
    text = say("{metric} of each NIC on each back end", metric=told(metric.replace("_", " ")))
    return draw_heat_maps(f"heat-{metric.replace('_', '-')}", text, maps), missing


def _axes(answers: Answers) -> tuple[list[str], list[str]]:
    """All NICs and back ends of the run; the baseline's first."""
    rows = _every_row(answers)
    out = [
        dict(zip(CELL, cell_parts(str(item["cell"])), strict=True))
        for item in answers.run.meta.get("left_out", ())
    ]
    keys = [_who(row) for row in (*rows, *answers.failures(), *out)]
    base = base_name(answers)
    return sorted({nic for nic, _ in keys}), sorted(
        {back for _, back in keys}, key=lambda one: (one != base, one)
    )


def _who(row: Row) -> _Key:
    return clean(row["nic"]), backend(row["netdev"], row["datapath"])


def _against(row: Row) -> str:
    low, high = row["ratio_low"], row["ratio_high"]
    if row["ratio"] is None or low is None or high is None:
        return ""
    text = times(row["ratio"])
    return text if low > 1 or high < 1 else f"({text})"


SECTION = ReportSection(10, write)
