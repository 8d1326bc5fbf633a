"""The QEMUs of one campaign against each other: the same cell in two of them, paired by repetition."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data, headlines, qemu_of, without_qemu
from qtrace.analyses.methods.run_comparison import MARGIN, VERDICTS, verdict_of
from qtrace.analyses.methods.sentence import Row, Said
from qtrace.analyses.methods.stats import Difference, estimate, holm, paired_difference

__all__ = ["COLUMNS", "QUESTION", "SAYS", "analyse", "say"]

QUESTION = "What is faster or slower in another QEMU?"
COLUMNS = (
    *CELL,
    *("qemu", "than_qemu", "metric", "n", "value", "than_value"),
    *("ratio", "low", "high", "p", "verdict", "reason", "in_turns"),
)
SAYS = {
    "found": "QEMU {qemu} against {than}, the same cells in both: {told}.",
    "most": "QEMU {qemu} differs from {than} most on {cell:cell}, {traffic}: {metric} is {ratio:times} "
    "({ends:ends}), {verdict}.",
}
_NONE = Difference(math.nan, math.nan, math.nan, math.nan)


def analyse(data: Data) -> pd.DataFrame:
    """One row for each headline metric of each cell that was measured in two QEMUs or more: each of them
    against the first, which is the oldest by its number. `workload` is without the word of the QEMU.

    The ratio is taken within each repetition, as the plan takes them in turns; `in_turns` is false where one
    was measured after the other, as blocks of one machine are. Its verdict is that of `qtrace compare`:
    `slower`, `faster`, `same` (within 2 %) or `not known`, with p corrected by Holm over all rows. Cells of
    two machines are not compared.
    """
    rows: list[dict[str, object]] = []
    found: list[Difference] = []
    by_metric = {metric: values for metric in headlines(data) if (values := _values(data, metric))}
    times = _times(data) if by_metric else {}
    for metric, values in by_metric.items():
        for cell, by_qemu in sorted(values.items()):
            than, *others = sorted(by_qemu, key=_age)
            for qemu in others:
                reps = sorted(by_qemu[qemu].keys() & by_qemu[than].keys())
                pairs = [(by_qemu[qemu][rep], by_qemu[than][rep]) for rep in reps]
                apart = not _one_machine(data, cell, qemu, than)
                one = _NONE if apart or not pairs else paired_difference(pairs)
                found.append(one)
                means = [_mean([pair[side] for pair in pairs]) for side in (0, 1)]
                rows.append(
                    dict(zip(CELL, cell, strict=True))
                    | {"qemu": qemu, "than_qemu": than, "metric": metric, "n": len(pairs)}
                    | {"value": means[0], "than_value": means[1], "ratio": math.exp(one.value)}
                    | {"low": math.exp(one.low), "high": math.exp(one.high)}
                    | {"in_turns": _overlap(times, _whole(cell, qemu), _whole(cell, than)), "apart": apart}
                )
    for row, one, p in zip(rows, found, holm([one.p for one in found]), strict=True):
        number = int(str(row["n"]))
        better = "less" if str(row["metric"]).endswith("_p50") else "more"
        verdict, reason = verdict_of((number, number), one, p, math.log1p(MARGIN), better)
        if row.pop("apart"):
            verdict, reason = "not known", "two machines measured them: qtrace compare --relative"
        row |= {"p": p, "verdict": verdict, "reason": reason}
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _values(data: Data, metric: str) -> dict[tuple[str, ...], dict[str, dict[int, float]]]:
    """Cell without its QEMU -> QEMU -> repetition -> value; of cells in two QEMUs or more."""
    found: dict[tuple[str, ...], dict[str, dict[int, float]]] = {}
    for row in data.metric(metric, probed=False).to_dict("records"):
        qemu = qemu_of(str(row["workload"]))
        if qemu and row["value"] > 0:
            cell = tuple(str(row[column]) for column in CELL[:-1])
            key = (*cell, without_qemu(str(row["workload"])))
            found.setdefault(key, {}).setdefault(qemu, {})[int(row["rep"])] = float(row["value"])
    return {cell: by_qemu for cell, by_qemu in found.items() if len(by_qemu) > 1}


def _times(data: Data) -> Mapping[tuple[str, ...], tuple[float, float]]:
    """When each cell's measurements without probes began, the first and the last."""
    results = data.table("results")
    found = {}
    for key, began in results[~results["probed"]].groupby(CELL)["started"]:
        found[tuple(str(part) for part in key)] = (float(began.min()), float(began.max()))
    return found


def _overlap(
    times: Mapping[tuple[str, ...], tuple[float, float]], one: tuple[str, ...], other: tuple[str, ...]
) -> bool:
    if one not in times or other not in times:
        return False
    return max(times[one][0], times[other][0]) <= min(times[one][1], times[other][1])


def _whole(cell: tuple[str, ...], qemu: str) -> tuple[str, ...]:
    """The cell with its QEMU, which is the last word of a setting."""
    return (*cell[:-1], f"{cell[-1]} qemu-{qemu}")


def _one_machine(data: Data, cell: tuple[str, ...], *qemus: str) -> bool:
    nic, _, _, way, workload = cell
    blocks = ["+".join((nic, way, f"{workload} qemu-{qemu}".replace(" ", "+"))) for qemu in qemus]
    return len({data.machines.get(block) for block in blocks}) == 1


def _age(name: str) -> tuple[bool, list[int], str]:
    """Releases by their numbers, then other names."""
    return not name[0].isdigit(), [int(number) for number in re.findall(r"\d+", name)], name


def _mean(values: Sequence[float]) -> float:
    return math.exp(estimate([math.log(value) for value in values]).mean) if values else math.nan


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """How many cells each QEMU is faster or slower in, and the furthest of them."""
    for qemu, than in dict.fromkeys((row["qemu"], row["than_qemu"]) for row in rows):
        mine = [row for row in rows if (row["qemu"], row["than_qemu"]) == (qemu, than)]
        counts = Counter(row["verdict"] for row in mine)
        told = ", ".join(f"{counts[name]} {name}" for name in VERDICTS if counts[name])
        differing = [row for row in mine if row["verdict"] in ("slower", "faster")]
        yield "found", {"qemu": qemu, "than": than, "told": told}
        if differing:
            most = max(differing, key=lambda row: abs(math.log(row["ratio"])))
            ends = (most["low"], most["high"])
            traffic = most["workload"] if most["way"] == "both" else f"{most['workload']} {most['way']}"
            yield (
                "most",
                {"qemu": qemu, "than": than, "cell": most, "traffic": traffic, "ends": ends}
                | {name: most[name] for name in ("metric", "ratio", "verdict")},
            )
