"""The ratio of two cells as a product of factors: bytes a frame, CPU time a frame by thread, waiting."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd

from qtrace.analyses.methods.data import Data
from qtrace.analyses.methods.factor_tree import Cost, FactorTree, Node
from qtrace.analyses.methods.pairs import PAIR, Pair, pairs_of
from qtrace.analyses.methods.sentence import Row, Said
from qtrace.analyses.methods.stats import Estimate, geometric, ratio
from qtrace.analyses.methods.traced_costs import calls_a_frame, function_shares, shares_of_both
from qtrace.analyses.methods.windows import KERNEL, QEMU, Window, windows

__all__ = ["BUSY", "CALLS", "COLUMNS", "CPU", "FRAME_BYTES", "OUTSIDE", "QUESTION", "RATE", "RATIO", "REST"]
__all__ += ["SAYS", "TIME_A_CALL", "TRIP_CPU", "WAITING", "analyse", "say"]

QUESTION = "Why is a cell faster or slower than another: which factors make up the ratio?"
COLUMNS = (
    *PAIR,
    *("metric", "factor", "of", "thread", "leaf", "unit", "value", "than_value"),
    *("times", "low", "high", "n"),
)
RATIO, REST = "ratio", "rest"
FRAME_BYTES, RATE = "bytes a frame", "frames a second"
CPU, BUSY, OUTSIDE = "CPU time a frame", "processors busy", "time around the traffic"
TRIP_CPU, WAITING = "CPU time a round trip", "no thread of QEMU running"
CALLS, TIME_A_CALL = "system calls a frame", "kernel time a call"
_CPU_WAY = {"throughput": (RATE, CPU), "rtt_mean": (TRIP_CPU,)}
_UNITS = {"throughput": "bit/s", "rtt_mean": "us"}

Key = tuple[str, ...]
SAYS = {
    "told": "The interval of {told:count} of {of:count} ratios excludes 1; the factors of each ratio "
    "multiply to it, but for a rest of {rest:times} at most.",
}


@dataclass(frozen=True)
class _Detail:
    """What is known of both cells of a pair, so that their parts can be compared: whether the kernel's clock
    told the parts of a thread's time, system calls a frame by thread, shares of functions by thread (the same
    threads on both sides)."""

    parts: bool
    calls: tuple[Mapping[str, float], Mapping[str, float]]
    functions: tuple[Mapping[str, Mapping[str, float]], Mapping[str, Mapping[str, float]]]


def analyse(data: Data) -> pd.DataFrame:
    """For each pair (`methods/pairs.py`) its `ratio` as measured, then the factors. All are from measurements
    without probes, but for system calls and functions: these take a thread's time apart further.

    `times` is the geometric mean over `n` repetitions with its 95 % interval; `value` and `than_value` are
    the means of the quantity in the cell and in the other. The product of the leaves and of `rest` is the
    ratio, and the product of the rows whose `of` is a factor is that factor.

    A throughput is (bytes a frame) x (frames a second), and the latter is (processors busy) / (CPU time a
    frame) x (time around the traffic). CPU time is a sum over threads, and theirs a sum of parts: the ratio
    of two sums is taken apart by logarithmic means. A mean round trip is the sum of the threads' CPU time
    and of the time in which none of them ran.
    """
    measured = windows(data)
    calls, functions = _by_cell(calls_a_frame(data)), _by_cell(function_shares(data))
    rows: list[dict[str, object]] = []
    for metric, take in (("throughput", _throughput), ("rtt_mean", _round_trip)):
        values = _values(data, metric)
        for pair in pairs_of(data, sorted(values)):
            both = {rep: (value, values[pair.than][rep]) for rep, value in values[pair.cell].items()
                    if rep in values[pair.than]}  # fmt: skip
            whole = ratio(list(both.values()))
            if not whole.n:
                continue
            sides = {rep: (one, two) for rep in both if (one := measured.get(pair.cell, {}).get(rep))
                     and (two := measured.get(pair.than, {}).get(rep))}  # fmt: skip
            tree = FactorTree()
            detail = _detail(pair, list(sides.values()), calls, functions)
            for rep, (cell, than) in sides.items():
                take(tree, rep, pair, cell, than, detail)
            head = pair.columns | {"metric": metric}
            means = [geometric([value[side] for value in both.values()]).mean for side in (0, 1)]
            rows.append(head | _row(RATIO, _UNITS[metric], means, whole))
            rows += _factors(head, tree, whole.mean, _CPU_WAY[metric])
    return pd.DataFrame(rows, columns=list(COLUMNS))


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """How many ratios there are, and the largest rest."""
    ratios = [row for row in rows if row["factor"] == RATIO]
    rests = [row["times"] for row in rows if row["factor"] == REST and row["times"]]
    if ratios and rests:
        told = sum(bool(row["low"] and row["high"]) and not row["low"] <= 1 <= row["high"] for row in ratios)
        rest = max(rests, key=lambda times: abs(math.log(times)))
        yield "told", {"of": len(ratios), "told": told, "rest": rest}


_Any = TypeVar("_Any")


def _by_cell(found: Mapping[tuple[Key, str], _Any]) -> dict[Key, dict[str, _Any]]:
    """Cell -> thread -> its entry."""
    cells: dict[Key, dict[str, _Any]] = {}
    for (cell, role), entry in found.items():
        cells.setdefault(cell, {})[role] = entry
    return cells


def _values(data: Data, metric: str) -> dict[Key, dict[int, float]]:
    found: dict[Key, dict[int, float]] = {}
    frame = data.metric(metric, probed=False)
    for *cell, _, rep, value in frame.itertuples(index=False):
        if value > 0:
            found.setdefault(tuple(str(part) for part in cell), {})[int(rep)] = float(value)
    return found


def _detail(
    pair: Pair,
    sides: Sequence[tuple[Window, Window]],
    calls: Mapping[Key, Mapping[str, float]],
    functions: Mapping[Key, Mapping[str, Mapping[str, float]]],
) -> _Detail:
    windows_of_both = [side for both in sides for side in both]
    every = [thread for side in windows_of_both for thread in side.threads.values()]
    roles = {role for side in windows_of_both for role in side.threads}

    def in_kernel(side: Window, role: str) -> float:
        return side.threads[role].parts.get(KERNEL, 0.0) if role in side.threads else 0.0

    # Kernel time is calls x time a call only where there are both, in every repetition.
    called = {role for role in roles if all(in_kernel(side, role) > 0 for side in windows_of_both)}
    cells = (pair.cell, pair.than)
    one, two = (
        {role: number for role, number in calls.get(cell, {}).items() if role in called} for cell in cells
    )
    known, also = (functions.get(cell, {}) for cell in cells)
    both = {role: shares_of_both(known[role], also[role]) for role in known if role in also}
    # A thread that used no time has no parts, and lacks none.
    told = all(thread.parts or not thread.seconds for thread in every)
    three, four = ({role: shares[number] for role, shares in both.items()} for number in (0, 1))
    return _Detail(told, (one, two), (three, four))


def _throughput(tree: FactorTree, rep: int, pair: Pair, cell: Window, than: Window, detail: _Detail) -> None:
    """One repetition; nothing where a side counted no payload, no frame or no CPU time."""
    way = pair.columns["way"]
    sides = (cell, than)
    frames = cell.frames.get(way, 0), than.frames.get(way, 0)
    payload, speed = (
        (cell.metrics.get(name, 0.0), than.metrics.get(name, 0.0)) for name in ("bytes", "throughput")
    )
    if min(*frames, *payload, *speed, cell.cpu, than.cpu) <= 0:
        return
    seconds = 8 * payload[0] / speed[0], 8 * payload[1] / speed[1]
    tree.quotient((FRAME_BYTES,), rep, _over(payload, frames), "byte")
    tree.quotient((RATE,), rep, _over(frames, seconds), "1/s")
    costs = _costs(cell, frames[0], detail, 0), _costs(than, frames[1], detail, 1)
    a_frame = _over((cell.cpu, than.cpu), frames)
    tree.add((RATE, CPU), rep, -math.log(a_frame[0] / a_frame[1]), a_frame, "s")
    tree.sum((RATE, CPU), rep, costs, "s", less=True)
    _system_calls(tree, rep, costs, detail)
    tree.quotient((RATE, BUSY), rep, _over((cell.cpu, than.cpu), (cell.window, than.window)), "processors")
    tree.quotient((RATE, OUTSIDE), rep, _over((sides[0].window, sides[1].window), seconds), "1")


def _round_trip(tree: FactorTree, rep: int, pair: Pair, cell: Window, than: Window, detail: _Detail) -> None:
    """One repetition. A thread's CPU time in a round trip is its share of the measurement's time."""
    trips = cell.metrics.get("rtt_mean", 0.0) / 1e6, than.metrics.get("rtt_mean", 0.0) / 1e6
    if min(*trips, cell.cpu, than.cpu) <= 0:
        return
    costs = []
    for number, side in enumerate((cell, than)):
        used = {(TRIP_CPU, *way): value for way, value in
                _costs(side, side.window / trips[number], detail, number).items()}  # fmt: skip
        costs.append({**used, (WAITING,): trips[number] - math.fsum(used.values())})
    tree.sum((), rep, (costs[0], costs[1]), "s", less=False)


def _costs(side: Window, per: float, detail: _Detail, number: int) -> Cost:
    """Thread, part, function -> CPU seconds over `per`, as far as both sides know them."""
    found: dict[tuple[str, ...], float] = {}
    shares = detail.functions[number]
    for role, thread in side.threads.items():
        if not thread.seconds:
            continue
        if not detail.parts:
            found[(role,)] = thread.seconds / per
            continue
        for part, seconds in thread.parts.items():
            if part == QEMU and role in shares:
                for function, share in shares[role].items():
                    found[role, part, function] = seconds * share / per
            elif seconds:
                found[role, part] = seconds / per
    return found


def _system_calls(tree: FactorTree, rep: int, costs: tuple[Cost, Cost], detail: _Detail) -> None:
    """Kernel time a frame of a thread is its system calls a frame x the kernel's time a call."""
    for role, number in detail.calls[0].items():
        part = (role, KERNEL)
        numbers = number, detail.calls[1].get(role, 0.0)
        times = costs[0].get(part, 0.0), costs[1].get(part, 0.0)
        if min(*numbers, *times) > 0:
            factors = {CALLS: numbers, TIME_A_CALL: _over(times, numbers)}
            units = {CALLS: "calls", TIME_A_CALL: "s"}
            tree.product((RATE, CPU, *part), rep, costs, part, factors, units, less=True)


def _over(above: tuple[float, float], below: tuple[float, float]) -> tuple[float, float]:
    return above[0] / below[0], above[1] / below[1]


def _factors(
    head: Mapping[str, object], tree: FactorTree, whole: float, cpu: tuple[str, ...]
) -> list[dict[str, object]]:
    rows = []
    product = 1.0
    for node in tree:
        times = node.times(tree.reps)
        leaf = tree.is_leaf(node.way)
        product *= times.mean if leaf else 1.0
        row = _row(node.way[-1], node.unit, node.means(), times)
        rows.append({**head, **row, **_place(node, cpu), "leaf": leaf})
    rest = Estimate(len(tree.reps), whole / product, math.nan, math.nan)
    return [*rows, {**head, **_row(REST, "", (None, None), rest), "leaf": True}]


def _place(node: Node, cpu: tuple[str, ...]) -> dict[str, str]:
    """The names of the factors above, and the thread whose time it is."""
    own = node.way[: len(cpu)] == cpu and len(node.way) > len(cpu)
    return {"of": " / ".join(node.way[:-1]), "thread": node.way[len(cpu)] if own else ""}


def _row(name: str, unit: str, means: Sequence[float | None], times: Estimate) -> dict[str, object]:
    row: dict[str, object] = {"factor": name, "of": "", "thread": "", "leaf": False, "unit": unit}
    row |= {"value": means[0], "than_value": means[1], "times": times.mean, "n": times.n}
    return row | {"low": times.low, "high": times.high}
