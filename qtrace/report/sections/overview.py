"""All cells of a run that has too many for a page: a map of their ratios, and those that are furthest out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from qtrace.analyses.methods.data import qemu_of
from qtrace.report.answers import Answers, Row
from qtrace.report.document import Figure, Section, Table
from qtrace.report.excerpt import Excerpt, telling
from qtrace.report.heat_map import HeatCell, HeatMap, draw_heat_maps
from qtrace.report.pair_rows import quantity
from qtrace.report.rows import bare, base_name, compared, direction_name, traffic
from qtrace.report.section import ReportSection
from qtrace.report.speech import say, told
from qtrace.report.text import backend, bits, clean, count, microseconds, present, times

__all__ = ["SECTION"]

_MOST = 5  # cells by each criterion


def write(answers: Answers) -> Section:
    """Nothing where the whole report is shown: its heat maps have every cell."""
    base = base_name(answers)
    by_metric = answers.headline_rows() if isinstance(answers, Excerpt) else {}
    figures = [_map(metric, rows, base) for metric, rows in by_metric.items()]
    tables = [_furthest(metric, rows, base) for metric, rows in by_metric.items()]
    return Section(
        "overview",
        "All cells",
        say(
            "The maps are of all cells: the ratio to {base} with the same NIC, traffic and setting, as "
            "the geometric mean over the settings of a workload (MTU, size, streams …), with the lowest "
            "and the highest below it; the stronger the colour, the better. A mean over settings hides "
            "that a back end may win in one and lose in another: the range shows it. The tables have the "
            "cells that are furthest out, means without probes and ratios with their 95 % intervals, each"
            " as if it were alone. The furthest of many cells are there partly by chance: measured again,"
            " they come out nearer to the others.",
            base=base,
        ),
        (*tables, *_not_measured(answers)) if by_metric else (),
        tuple(figure for figure in figures if figure),
    )


def _map(metric: str, rows: Sequence[Row], base: str) -> Figure | None:
    """One map for each direction and workload, over its settings."""
    found: dict[str, dict[tuple[str, str], list[float]]] = {}
    settings: dict[str, set[str]] = {}
    for row in rows:
        ratio = present(row["ratio"])
        if ratio is None or ratio <= 0:
            continue
        workload = clean(row["workload"]).partition(" ")[0]
        title = say("{one}, {other}", one=workload, other=direction_name(row["way"]))
        if qemu := qemu_of(str(row["workload"])):  # one map has the cells of one QEMU
            title = say("{one}, {other}", one=title, other=f"QEMU {clean(qemu)}")
        settings.setdefault(title, set()).add(row["workload"])
        found.setdefault(title, {}).setdefault(bare(row), []).append(ratio)
    is_time = metric.endswith("_p50")
    maps = []
    nics = sorted({nic for cells in found.values() for nic, _ in cells})
    every = {back for cells in found.values() for _, back in cells}
    backs = sorted(every, key=lambda one: (one != base, one))
    for title, cells in sorted(found.items()):
        shown = {
            key: HeatCell(math.exp(math.fsum(map(math.log, values)) / len(values)), _range(values))
            for key, values in cells.items()
        }
        for nic in nics:
            for back in backs:
                shown.setdefault((nic, back), HeatCell(None, why=say("not measured")))
        number = len(settings[title])
        title = say(
            "{title}: {number} setting" if number == 1 else "{title}: {number} settings",
            title=title,
            number=number,
        )
        maps.append(HeatMap(title, nics, backs, shown, times, not is_time))
    text = say(
        "{metric} over that of {base}, each NIC on each back end, all cells",
        metric=told(metric.replace("_", " ")),
        base=base,
    )
    return draw_heat_maps(f"all-{metric.replace('_', '-')}", text, maps)


def _range(values: Sequence[float]) -> str:
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return say("{low} to {high}", low=low, high=high) if low != high else ""


def _furthest(metric: str, rows: Sequence[Row], base: str) -> Table:
    form = _form(metric)
    lines = [
        (_which(why, base), *compared(row, form))
        for why, found in telling(rows).items()
        for row in found[:_MOST]
    ]
    name, of_base = told(metric.replace("_", " ")), say("of {base}", base=base)
    heads = f"which|NIC|back end|traffic|#{name}|#95 % interval|#{of_base}|#95 % interval|#n"
    title = say("{name}: the furthest of {number} cells", name=name, number=f"{len(rows):,}")
    return Table.of(title, heads, lines)


def _which(why: str, base: str) -> str:
    return told(why.replace("the baseline", base))


def _form(metric: str) -> Callable[[object], str]:
    if metric.endswith("_p50"):
        return microseconds
    return bits if metric.endswith("throughput") else lambda value: quantity(value, "1/s")


def _not_measured(answers: Answers) -> Iterator[Table]:
    """Cells that failed or were left out, by reason."""
    reasons: dict[str, int] = {}
    for row in answers.failures():
        reason = say("failed: {reason}", reason=told(clean(row["reason"])))
        reasons[reason] = reasons.get(reason, 0) + 1
    for item in answers.run.meta.get("left_out", ()):
        reason = say("left out: {reason}", reason=told(clean(item["reason"])))
        reasons[reason] = reasons.get(reason, 0) + 1
    lines = [(reason, count(number)) for reason, number in sorted(reasons.items(), key=lambda item: -item[1])]
    yield Table.of("Measurements that failed, and cells that were left out", "reason|#number", lines)


def headline(answers: Answers) -> Iterator[str]:
    """The extremes of all cells, of each metric."""
    if not isinstance(answers, Excerpt):
        return
    base = base_name(answers)
    for metric, rows in answers.headline_rows().items():
        form = _form(metric)
        parts = [
            say("{which} {cell}", which=_which(why, base), cell=_one(found[0], form, why))
            for why, found in telling(rows).items()
            if found
        ]
        yield say(
            "Of all {number} cells with {metric}: {parts}.",
            number=f"{len(rows):,}",
            metric=told(metric.replace("_", " ")),
            parts=say("; ").join(parts),
        )


def _one(row: Row, form: Callable[[object], str], why: str) -> str:
    value = form(row["mean"]) if "baseline" not in why else times(row["ratio"])
    return say(
        "{value} ({nic} on {back}, {traffic})",
        value=value,
        nic=clean(row["nic"]),
        back=backend(row["netdev"], row["datapath"]),
        traffic=clean(traffic(row)),
    )


SECTION = ReportSection(5, write, headline=headline)
