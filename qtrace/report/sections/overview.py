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
from qtrace.report.rows import DIRECTIONS, bare, base_name, compared, traffic
from qtrace.report.section import ReportSection
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
        f"The maps are of all cells: the ratio to {base} with the same NIC, traffic and setting, as the "
        "geometric mean over the settings of a workload (MTU, size, streams …), with the lowest and the "
        "highest below it; the stronger the colour, the better. A mean over settings hides that a back end "
        "may win in one and lose in another: the range shows it. The tables have the cells that are furthest "
        "out, means without probes and ratios with their 95 % intervals, each as if it were alone. The "
        "furthest of many cells are there partly by chance: measured again, they come out nearer to the "
        "others.",
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
        title = f"{clean(row['workload']).partition(' ')[0]}, {DIRECTIONS.get(row['way'], clean(row['way']))}"
        if qemu := qemu_of(str(row["workload"])):  # one map has the cells of one QEMU
            title += f", QEMU {clean(qemu)}"
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
                shown.setdefault((nic, back), HeatCell(None, why="not measured"))
        number = len(settings[title])
        maps.append(
            HeatMap(f"{title}: {number} setting{'s' * (number != 1)}", nics, backs, shown, times, not is_time)
        )
    text = f"{metric.replace('_', ' ')} over that of {base}, each NIC on each back end, all cells"
    return draw_heat_maps(f"all-{metric.replace('_', '-')}", text, maps)


def _range(values: Sequence[float]) -> str:
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return f"{low} to {high}" if low != high else ""


def _furthest(metric: str, rows: Sequence[Row], base: str) -> Table:
    form = _form(metric)
    lines = [
        (why.replace("the baseline", base), *compared(row, form))
        for why, found in telling(rows).items()
        for row in found[:_MOST]
    ]
    name = metric.replace("_", " ")
    heads = f"which|NIC|back end|traffic|#{name}|#95 % interval|#of {base}|#95 % interval|#n"
    return Table.of(f"{name}: the furthest of {len(rows):,} cells", heads, lines)


def _form(metric: str) -> Callable[[object], str]:
    if metric.endswith("_p50"):
        return microseconds
    return bits if metric.endswith("throughput") else lambda value: quantity(value, "1/s")


def _not_measured(answers: Answers) -> Iterator[Table]:
    """Cells that failed or were left out, by reason."""
    reasons: dict[str, int] = {}
    for row in answers.failures():
        reason = f"failed: {clean(row['reason'])}"
        reasons[reason] = reasons.get(reason, 0) + 1
    for item in answers.run.meta.get("left_out", ()):
        reason = f"left out: {clean(item['reason'])}"
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
            f"{why.replace('the baseline', base)} {_one(found[0], form, why)}"
            for why, found in telling(rows).items()
            if found
        ]
        yield f"Of all {len(rows):,} cells with {metric.replace('_', ' ')}: {'; '.join(parts)}."


def _one(row: Row, form: Callable[[object], str], why: str) -> str:
    value = form(row["mean"]) if "baseline" not in why else times(row["ratio"])
    where = f"{clean(row['nic'])} on {backend(row['netdev'], row['datapath'])}"
    return f"{value} ({where}, {clean(traffic(row))})"


SECTION = ReportSection(5, write, headline=headline)
