"""The stage of the path at which each factor of a ratio shows, from measurements with probes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from qtrace.analyses.cpu import thread_kind
from qtrace.analyses.factors import BUSY, CPU, FRAME_BYTES, TRIP_CPU, WAITING
from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.pairs import PAIR, pairs_of
from qtrace.analyses.methods.sentence import Row, Said
from qtrace.analyses.methods.traced_costs import frames_with_probes
from qtrace.analyses.methods.windows import Window, thread_role, windows

__all__ = ["COLUMNS", "QUESTION", "SAYS", "analyse", "say"]

QUESTION = "At which stage of the path does each factor show?"
COLUMNS = (*PAIR, "factor", "thread", "stage", "quantity", "unit", "value", "than_value")

Key = tuple[str, ...]
SAYS = {
    "shown": "A stage shows {shown:count} factors of {pairs:count} pairs; most of them at {stage}.",
}
_VCPU, _WORKER = "vCPU", "vhost worker"
# Times in bucket b are from 2^b to 2^(b + 1) ns: their mean / 2^b, if no part of the bucket is preferred.
_MEAN_OF_BUCKET = 1.4427
_NOTICES = ("kick", "interrupt")
_LEAST = 0.05  # a smaller share of the larger number shows nothing


@dataclass
class _Shown:
    """What the stages of one cell show, for each frame."""

    size: tuple[str, float] | None = None  # the first stage that knows the frame's size, and the bytes
    notices: dict[str, float] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)  # "send → deliver": ns
    waits: dict[str, float] = field(default_factory=dict)  # thread: how often it waited
    cpu: dict[str, float] = field(default_factory=dict)  # thread: CPU time, of a round trip where it is one
    idle: float = 0.0  # more where less of QEMU runs
    carrier: str = ""  # the thread that makes the system calls, or vhost's


def analyse(data: Data) -> pd.DataFrame:
    """One row for each factor of a pair (`analyses/factors.py`) that a stage shows.

    Frame size: the first stage that knows it. CPU time of the thread that carries the frames: the passage
    between two stages whose time a frame differs most (from histograms: about). CPU time of the vCPU: kicks
    or interrupts a frame. Waiting: the thread that waits more often a frame, and what it waits for. Only what
    differs in the factor's own direction shows it. A side that was not measured is null.
    """
    cells = _shown(data)
    rows: list[dict[str, object]] = []
    for pair in pairs_of(data, sorted(cells)):
        one, two = cells[pair.cell], cells[pair.than]
        way = pair.columns["way"]
        found = [*_cpu(one, two, TRIP_CPU if way not in ("tx", "rx") else CPU), *_waiting(one, two, way)]
        for row in found if way not in ("tx", "rx") else (*_size(one, two), *found):
            rows.append({**pair.columns, **dict(zip(COLUMNS[len(PAIR) :], row, strict=True))})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def say(rows: Sequence[Row]) -> Iterator[Said]:
    """How many factors a stage shows, and the most frequent stage."""
    if rows:
        stages = [str(row["stage"]) for row in rows]
        most = max(dict.fromkeys(stages), key=stages.count)
        pairs = {tuple(row[name] for name in PAIR) for row in rows}
        yield "shown", {"shown": len(rows), "pairs": len(pairs), "stage": most}


_Row = tuple[str | float | None, ...]


def _size(one: _Shown, two: _Shown) -> Iterator[_Row]:
    if one.size and two.size:
        stage = one.size[0] if one.size[0] == two.size[0] else f"{one.size[0]}, {two.size[0]}"
        yield FRAME_BYTES, "", stage, "with headers", "byte", one.size[1], two.size[1]


def _cpu(one: _Shown, two: _Shown, factor: str) -> Iterator[_Row]:
    carriers = (one.carrier, two.carrier)
    for thread in sorted(one.cpu.keys() | two.cpu.keys()):
        more = one.cpu.get(thread, 0.0) > two.cpu.get(thread, 0.0)
        if thread in carriers:
            times = [side.times if side.carrier == thread else {} for side in (one, two)]
            if found := _most(times[0], times[1], more):
                yield factor, thread, found, "about, a frame", "ns", times[0].get(found), times[1].get(found)
        elif thread == _VCPU and (found := _most(one.notices, two.notices, more)):
            yield (
                factor,
                thread,
                found,
                f"{found}s a frame",
                "1",
                one.notices.get(found),
                two.notices.get(found),
            )


def _waiting(one: _Shown, two: _Shown, way: str) -> Iterator[_Row]:
    if thread := _most(one.waits, two.waits, one.idle > two.idle):
        stage = "interrupt" if thread == _VCPU else "host" if way == "rx" else "kick"
        factor = BUSY if way in ("tx", "rx") else WAITING
        waits = one.waits.get(thread), two.waits.get(thread)
        yield factor, "", stage, f"waits of the {thread} a frame", "1", *waits


def _most(one: Mapping[str, float], two: Mapping[str, float], more: bool) -> str:
    """The name whose number differs most in this direction: one that both have, else one that either has."""
    for names in (one.keys() & two.keys(), one.keys() | two.keys()):
        differ = {name: one.get(name, 0.0) - two.get(name, 0.0) for name in sorted(names)}
        rising = {
            name: abs(by)
            for name, by in differ.items()
            if (by > 0) == more and abs(by) > _LEAST * max(one.get(name, 0.0), two.get(name, 0.0))
        }
        if rising:
            return max(rising, key=lambda name: rising[name])
    return ""


def _shown(data: Data) -> dict[Key, _Shown]:
    frames = {cell: number for cell, number in frames_with_probes(data).items() if number}
    found = {cell: _Shown() for cell in frames}
    _add_stages(found, data.table("stages"), frames)
    _add_times(found, data.table("edges"), frames)
    _add_carriers(found, data.table("syscalls"))
    for cell, reps in windows(data).items():
        if cell in found:
            _add_plain(found[cell], cell[CELL.index("way")], list(reps.values()))
    return found


def _of_payload(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows in their cell's own direction; of a round trip both."""
    return frame[~frame["way"].isin(["tx", "rx"]) | (frame["direction"] == frame["way"])]


def _cell(label: Sequence[object]) -> Key:
    return tuple(str(item) for item in label[: len(CELL)])


def _add_stages(found: Mapping[Key, _Shown], stages: pd.DataFrame, frames: Mapping[Key, int]) -> None:
    part = _of_payload(stages[stages["attached"].astype(bool)])
    sized = part[(part["bytes"] > 0) & (part["frames"] > 0)]
    first = sized[sized["position"] == sized.groupby(CELL)["position"].transform("min")]
    sums = first.groupby(CELL, sort=True)[["bytes", "frames"]].sum()
    names = first.drop_duplicates(CELL).set_index(CELL)["stage"]
    for label, data, number in sums.itertuples(name=None):
        if (cell := _cell(label)) in found:
            found[cell].size = str(names[label]), float(data) / float(number)
    notices = part[part["stage"].isin(_NOTICES)]
    key = [*CELL, "stage", "direction"]
    # Several functions of one stage call each other: the busiest stands for it.
    busiest = notices.groupby([*key, "function"])["calls"].sum().groupby(key).max()
    for label, calls in busiest.groupby(key[:-1], sort=True).sum().items():
        assert isinstance(label, tuple)
        if (cell := _cell(label)) in found:
            found[cell].notices[str(label[-1])] = float(calls) / frames[cell]


def _add_times(found: Mapping[Key, _Shown], edges: pd.DataFrame, frames: Mapping[Key, int]) -> None:
    part = _of_payload(edges[(edges["from_stage"] != "") & (edges["to_stage"] != "")])
    spent = part["count"] * 2.0 ** part["bucket"] * _MEAN_OF_BUCKET
    ends = [part[name] for name in (*CELL, "direction", "from_stage", "to_stage")]
    for label, time in spent.groupby(ends, sort=True).sum().items():
        assert isinstance(label, tuple)
        cell, (direction, first, last) = _cell(label), label[len(CELL) :]
        if cell in found:
            before = f"{direction} " if cell[CELL.index("way")] not in ("tx", "rx") else ""
            found[cell].times[f"{before}{first} → {last}"] = float(time) / frames[cell]


def _add_carriers(found: Mapping[Key, _Shown], calls: pd.DataFrame) -> None:
    """The thread with most calls on the tap or a socket; with vhost the worker."""
    carrying = calls[calls["fd"].isin(["tap", "socket"])]
    role = carrying["thread"].map(lambda name: thread_role(thread_kind(str(name))))
    most: dict[Key, tuple[str, int]] = {}
    for label, number in (
        carrying.assign(role=role).groupby([*CELL, "role"], sort=True)["calls"].sum().items()
    ):
        assert isinstance(label, tuple)
        if int(number) > most.get(_cell(label), ("", -1))[1]:
            most[_cell(label)] = str(label[-1]), int(number)
    for cell, shown in found.items():
        vhost = cell[CELL.index("datapath")] == "vhost-net"
        shown.carrier = _WORKER if vhost else most.get(cell, ("", 0))[0]


def _add_plain(shown: _Shown, way: str, reps: list[Window]) -> None:
    """What the measurements without probes say: CPU time, idleness and waits of the threads."""
    trip = way not in ("tx", "rx")
    frames = sum(rep.frames[one] for rep in reps for one in (("tx", "rx") if trip else (way,)))
    window = sum(rep.window for rep in reps)
    mean = sum(rep.metrics.get("rtt_mean", 0.0) for rep in reps) / len(reps) / 1e6
    shown.idle = (mean if trip else 1.0) * (1 - sum(rep.cpu for rep in reps) / window)
    for role in dict.fromkeys(role for rep in reps for role in rep.threads):
        threads = [rep.threads[role] for rep in reps if role in rep.threads]
        seconds = sum(thread.seconds for thread in threads)
        if frames and seconds:
            shown.cpu[role] = seconds * mean / window if trip else seconds / frames
            shown.waits[role] = sum(thread.waits for thread in threads) / frames
