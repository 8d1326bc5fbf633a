"""Sampled frames as a timeline in the Trace Event Format (JSON), which ui.perfetto.dev opens.

Threads are tracks and stages are slices. An arrow leads to a frame's next slice on another thread or after a
pause. Slices of one track must nest: if two frames overlap on a thread, the waiting one ends where the other
begins.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from qtrace.report.formats.frame_times import Hit, SampledFrame
from qtrace.report.text import clean
from qtrace.store.run import RunReader

__all__ = ["to_perfetto"]

_LAST_NS = 1  # duration of the last stage, which is unknown: the shortest that can be shown


@dataclass(slots=True)
class _Slice:
    frame: SampledFrame
    number: int  # of the frame in this file
    hit: Hit
    end: int  # ns

    @property
    def start(self) -> int:
        return self.hit.time_ns


def to_perfetto(run: RunReader, frames: Sequence[SampledFrame]) -> str:
    """The file's content. `frames` must not be empty; times count from the earliest hit."""
    zero = min(frame.began for frame in frames)
    cells = {cell: number for number, cell in enumerate(sorted({frame.cell for frame in frames}), start=1)}
    events: list[dict[str, Any]] = []
    for cell, process in cells.items():
        mine = [frame for frame in frames if frame.cell == cell]
        slices = [part for number, frame in enumerate(mine, start=1) for part in _slices(frame, number)]
        threads: dict[int, list[_Slice]] = {}
        for part in slices:
            threads.setdefault(part.hit.tid, []).append(part)
        events.append(_meta("process_name", process, 0, clean(cell).replace("+", " ")))
        for thread, parts in sorted(threads.items()):
            name = next((clean(part.hit.thread) for part in parts if part.hit.thread), "")
            events.append(_meta("thread_name", process, thread, name or f"thread {thread}"))
            _nest(parts)
        events += [_event(part, process, zero) for part in slices]
        events += _arrows(slices, process, zero)
    head = {name: clean(str(run.meta.get(name) or "")) for name in ("id", "qtrace", "venue", "created")}
    head["zero"] = f"{zero} ns, CLOCK_MONOTONIC"
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ns", "otherData": head}, ensure_ascii=False)


def _slices(frame: SampledFrame, number: int) -> Iterable[_Slice]:
    for at, hit in enumerate(frame.hits):
        end = frame.hits[at + 1].time_ns if at + 1 < len(frame.hits) else hit.time_ns + _LAST_NS
        yield _Slice(frame, number, hit, max(end, hit.time_ns + _LAST_NS))


def _nest(parts: list[_Slice]) -> None:
    """Shorten slices that would overlap on one thread."""
    parts.sort(key=lambda part: (part.start, -part.end))
    around: list[_Slice] = []
    for part in parts:
        while around and around[-1].end <= part.start:
            around.pop()
        while around and around[-1].end < part.end:
            around.pop().end = part.start
        around.append(part)


def _event(part: _Slice, process: int, zero: int) -> dict[str, Any]:
    hit, frame = part.hit, part.frame
    about = {"frame": frame.number, "function": clean(hit.function), "cpu": hit.cpu}
    if frame.netdev_id:
        about["netdev_id"] = clean(frame.netdev_id)
    about["queue"] = frame.queue
    if hit.size:
        about["bytes"] = hit.size - hit.header
    return {
        "name": f"{clean(hit.stage)} ({frame.direction})",
        "cat": frame.direction,
        "ph": "X",
        "ts": (part.start - zero) / 1e3,
        "dur": (part.end - part.start) / 1e3,
        "pid": process,
        "tid": hit.tid,
        "args": about,
    }


def _arrows(slices: Sequence[_Slice], process: int, zero: int) -> Iterable[dict[str, Any]]:
    """From a slice to the frame's next one, unless that follows at once on the same thread."""
    count = 0
    for before, after in pairwise(slices):
        if before.number != after.number:
            continue
        if before.hit.tid == after.hit.tid and before.end >= after.start:
            continue
        count += 1
        for mark, part in (("s", before), ("f", after)):
            arrow = {
                "name": f"frame {part.frame.number}",
                "cat": part.frame.direction,
                "ph": mark,
                "id": f"{process}.{count}",
                "ts": (part.start - zero) / 1e3,
                "pid": process,
                "tid": part.hit.tid,
            }
            yield arrow | ({"bp": "e"} if mark == "f" else {})


def _meta(kind: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "pid": process, "tid": thread, "args": {"name": name}}
