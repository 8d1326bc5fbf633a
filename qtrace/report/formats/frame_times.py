"""The sampled frames of a run, each with its hits in order of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qtrace.errors import StoreError
from qtrace.model import Direction
from qtrace.report.text import clean, duration
from qtrace.store.run import RunReader

__all__ = ["Hit", "SampledFrame", "clock_of", "sampled_frames"]

_DATA_STAGES = ("send", "deliver")  # stages that have the whole frame, the better one first
_LATEST = 2**63 - 1  # ns
_LONGEST = 2**32 - 1  # bytes


@dataclass(frozen=True, slots=True)
class Hit:
    """A stage that the frame has passed, at `time_ns` (CLOCK_MONOTONIC).

    `size` is in bytes, including the `header` bytes that precede the frame; `data` has the first bytes,
    `header` included."""

    time_ns: int
    stage: str
    function: str
    thread: str
    tid: int
    cpu: int
    size: int
    header: int
    data: bytes


@dataclass(frozen=True, slots=True)
class SampledFrame:
    """A sampled frame; `number` is unique in its cell and repetition; `cell` is the run's."""

    cell: str
    rep: int
    number: int
    netdev_id: str
    queue: int
    direction: str
    hits: tuple[Hit, ...]

    @property
    def whole(self) -> Hit | None:
        """The hit with the most bytes of the frame; None if no stage had access to them."""
        with_data = [hit for hit in self.hits if len(hit.data) > hit.header]
        by_stage = {hit.stage: hit for hit in reversed(with_data)}
        return next((by_stage[stage] for stage in _DATA_STAGES if stage in by_stage), None) or next(
            iter(with_data), None
        )

    @property
    def began(self) -> int:
        """The time of the first hit, in ns."""
        return self.hits[0].time_ns

    def story(self) -> str:
        """The stages that the frame passed, with times, in one line."""
        parts = [f"{clean(hit.stage)} +{duration(hit.time_ns - self.began)}" for hit in self.hits]
        return f"{self.direction} frame {self.number}: {', '.join(parts)}"


def sampled_frames(run: RunReader) -> list[SampledFrame]:
    """The frames in order of their first hits. Raises StoreError if the run has none, or its table is
    damaged."""
    groups: dict[tuple[str, int, int], list[dict[str, Any]]] = {}
    for row in run.table("samples").to_pylist():
        groups.setdefault((row["cell"], row["rep"], row["frame"]), []).append(row)
    if not groups:
        raise StoreError(
            f"the run {run.path} has no sampled frames",
            hint="record one with: qtrace record PID --sample 100",
        )
    try:
        found = [_frame(key, rows) for key, rows in groups.items()]
    except (TypeError, ValueError) as exc:
        raise StoreError(f"{run.path}: the table 'samples' is damaged: {exc}") from exc
    return sorted(found, key=lambda frame: (frame.began, frame.cell, frame.number))


def clock_of(run: RunReader) -> int:
    """The offset in ns from a hit's time to the time since 1970. Raises StoreError."""
    clock = run.meta.get("clock")
    try:
        shift = int(clock["unix_ns"]) - int(clock["monotonic_ns"])  # type: ignore[index]
        if not 0 <= shift <= _LATEST:
            raise ValueError(shift)
        return shift
    except (KeyError, TypeError, ValueError) as exc:
        raise StoreError(f"{run.path / 'run.json'}: 'clock' is missing or damaged") from exc


def _frame(key: tuple[str, int, int], rows: list[dict[str, Any]]) -> SampledFrame:
    first = rows[0]
    if first["direction"] not in tuple(Direction):
        raise ValueError(f"a frame goes {first['direction']!r}")
    hits = sorted((_hit(row) for row in rows), key=lambda hit: hit.time_ns)
    return SampledFrame(
        *key, str(first["netdev_id"] or ""), int(first["queue"]), str(first["direction"]), tuple(hits)
    )


def _hit(row: dict[str, Any]) -> Hit:
    time, size, header = int(row["time_ns"]), int(row["bytes"]), int(row["header"])
    if not (0 <= time <= _LATEST and 0 <= size <= _LONGEST and 0 <= header <= size):
        raise ValueError(f"a hit at {time} ns of {size} bytes, {header} of them header")
    return Hit(
        time,
        str(row["stage"]),
        str(row["function"]),
        str(row["thread"] or ""),
        int(row["tid"]),
        int(row["cpu"]),
        size,
        header,
        bytes.fromhex(row["data"] or "")[:size],
    )
