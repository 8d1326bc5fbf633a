"""A walk to be written, with the text that all formats share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from qtrace.model import Direction, Evidence, Path, Step, Way
from qtrace.report.text import plain
from qtrace.store.index import Index

if TYPE_CHECKING:  # imports pandas; a walk without a run must start without delay
    from qtrace.report.measured import Measured

__all__ = ["Walked", "ending", "evidence", "place", "walked_between", "walked_path"]


@dataclass(frozen=True, slots=True)
class Walked:
    """`end` tells where the frame leaves or enters QEMU, empty for calls between two functions; `data` is the
    walk for JSON; `figures` are a run's measurements of it, or None. `ways` are all ways of its stages; with
    `unfolded`, each of the others has its condition and the calls that lead there."""

    title: str
    end: str
    steps: Sequence[Step]
    data: Mapping[str, object]
    index: Index
    figures: Measured | None = None
    ways: Sequence[Way] = ()
    unfolded: bool = False

    @property
    def head(self) -> list[str]:
        """The origin of the measurements, one fact a line."""
        return self.figures.head() if self.figures else []

    @property
    def tail(self) -> list[str]:
        """The run's lines about the whole QEMU."""
        return self.figures.tail() if self.figures else []

    def notes(self, step: Step) -> list[str]:
        """The measurements at a step, one fact a line."""
        return self.figures.at(step) if self.figures else []

    def others(self, step: Step) -> list[str]:
        """The other ways of the step's stage, one a line, or all in one line."""
        ways = [way for way in self.ways if way.stage is step.stage and not way.usual]
        if not ways:
            return []
        return self.told(step) if self.unfolded else [f"also by {', '.join(way.function for way in ways)}"]

    def told(self, step: Step) -> list[str]:
        """All ways of the step's stage, if there are several: each with its condition."""
        ways = [way for way in self.ways if way.stage is step.stage and step.stage is not None]
        lines = []
        for way in ways if len(ways) > 1 else ():
            where = "" if way.usual else f" ({place(way.file, way.line)})"
            lines.append(f"{'this way' if way.usual else f'also by {way.function}'}{where}{_when(way)}")
            if not way.usual:
                lines += [f"    {item.why} ({place(item.file, item.line)})" for item in way.evidence]
        return lines


def walked_path(
    path: Path, index: Index, figures: Measured | None = None, *, unfolded: bool = False
) -> Walked:
    """The walk of a frame's path."""
    title = f"{path.nic} on {path.netdev} ({path.datapath}), {path.direction}"
    end = ending(path)
    data = path.to_json() | ({"measured": figures.to_json()} if figures else {})
    ways = data.pop("ways")
    data["stages"] = [
        {
            **{key: asdict(step)[key] for key in ("stage", "function", "file", "line")},
            "ways": [way for way in ways if way["stage"] == step.stage],
        }
        for step in path.stages
    ]
    return Walked(title, end, path.steps, data, index, figures, path.ways, unfolded)


def ending(path: Path) -> str:
    """Where the frame leaves or enters QEMU, as the end of a sentence about it."""
    verb = "enters" if path.direction is Direction.RX and path.boundary.kind != "kernel" else "leaves"
    note = f": {path.boundary.note}" if path.boundary.note else ""
    return f"{verb} QEMU by the {path.boundary.kind} {path.boundary.name}{note}"


def walked_between(first: str, last: str, steps: Sequence[Step], index: Index) -> Walked:
    """The calls from the function `first` to the function `last`."""
    data = {"from": first, "to": last, "steps": [asdict(step) for step in steps]}
    return Walked(f"from {first} to {last}", "", steps, data, index)


def _when(way: Way) -> str:
    return f", if {plain(way.condition)}" if way.condition else ""


def place(file: str, line: int) -> str:
    """`net/tap.c:123`, or a note that the place is outside QEMU."""
    return plain(f"{file}:{line}" if line else file or "outside QEMU")


def evidence(step: Step) -> Sequence[Evidence]:
    """The evidence that the step is called, place by place."""
    return step.call.evidence if step.call else ()
