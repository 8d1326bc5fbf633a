"""The drawing of a path: its stages as cards on a line, with the counts and the times between them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jinja2

from qtrace.model import Direction, Path, Step
from qtrace.report.document import Figure
from qtrace.report.speech import say
from qtrace.report.text import backend, clean, count, duration, present, size

if TYPE_CHECKING:  # imports pandas; a drawing without a run must start without delay
    from qtrace.report.answers import Answers, Row

__all__ = ["Card", "Drawn", "draw_path", "lay_out", "layer", "path_name"]

# Stages that are counted in calls: a doorbell or an interrupt is not a frame.
_CALLS = ("kick", "interrupt")
_CARD, _TOP = 54, 90
_VIA_WIDTH = 58  # characters of the small font on one line


@dataclass(frozen=True, slots=True)
class Card:
    """One drawn stage; `y` and `height` in user units, `bar` the share of the path's time, 0 to 1.

    `layer` is the key of the part of the machine, `via` the functions since the stage before or, of the
    first stage (`gap` 0), those that lead to it. `counted`, `took` and `tail` are what was measured, in the
    language that is spoken; empty where nothing is said of it.
    """

    y: int
    height: int
    role: str
    layer: str
    function: str
    place: str
    counted: str
    elsewhere: str
    measured: bool
    via: tuple[str, ...]
    took: str
    tail: str
    bar: float
    gap: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is drawn of a path: `cards` of its stages in order, `said` of the way and of what was measured,
    `crossing` before the name of the boundary, and `text`, the same in words."""

    title: str
    said: str
    crossing: str
    cards: tuple[Card, ...]
    text: str


def layer(file: str, beyond: str = "kernel") -> tuple[str, str]:
    """The part of the machine to which a file belongs: (key, name).

    A step without a file is outside QEMU: `beyond` is then the kind of the path's boundary.
    """
    if not file:
        return ("library", say("library")) if beyond == "library" else ("kernel", say("kernel"))
    if file.startswith(("hw/", "include/hw/", "softmmu/", "system/", "accel/", "target/")):
        return "device", say("device model")
    if file.startswith(("drivers/", "fs/", "kernel/", "linux/", "virt/", "arch/")):
        return "kernel", say("kernel")
    if file in ("net/net.c", "net/queue.c", "net/filter.c") or file.startswith("util/"):
        return "core", say("net core")
    if file.startswith(("libslirp/", "libvdeplug/")):
        return "library", file.partition("/")[0]
    return "backend", say("back end")


def path_name(path: Path) -> str:
    """The stem of the drawing's file."""
    qemu = f"-qemu-{path.qemu}" if path.qemu else ""
    raw = f"path-{path.nic}-{path.netdev}-{path.datapath}-{path.direction}{qemu}"
    return re.sub(r"[^A-Za-z0-9-]+", "-", raw)


def lay_out(path: Path, answers: Answers | None) -> Drawn:
    """What is drawn of one path. An unmeasured stage is drawn as unmeasured, with its place in the source;
    without answers nothing is said of measurements."""
    counts, edges, workload = _measured(path, answers) if answers else ([], [], "")
    cards = _cards(path, counts, edges, answers is not None)
    ways = say("guest to host") if path.direction is Direction.TX else say("host to guest")
    title = say("{nic} on {back}", nic=clean(path.nic), back=backend(path.netdev, path.datapath))
    if path.qemu:
        title = say("{one}, {other}", one=title, other=f"QEMU {clean(path.qemu)}")
    said = say("{ways}, read from the source", ways=ways)
    if counts:
        said = say("{ways}, {workload} measurements with probes", ways=ways, workload=workload)
    text = say("The path {title}, {direction}: ", title=title, direction=path.direction) + " → ".join(
        f"{card.role} {card.function}" + f" ({card.counted})" * bool(card.counted) for card in cards
    )
    return Drawn(title, said, _crossing(path), tuple(cards), text)


def draw_path(path: Path, answers: Answers | None, template: jinja2.Template) -> Figure:
    """The SVG of one path: `lay_out`, drawn."""
    drawn = lay_out(path, answers)
    cards = drawn.cards
    height = (cards[-1].y + cards[-1].height if cards else _TOP) + 24
    keys = list(dict.fromkeys(layer(step.file, path.boundary.kind) for step in path.stages))
    values = {
        "name": path_name(path),
        "title": drawn.title,
        "direction": path.direction.value,
        "subtitle": drawn.said,
        "cards": cards,
        "height": height,
        "keys": keys,
        "boundary": clean(path.boundary.name),
        "crossing": drawn.crossing,
        "foot": say("orange bars: share of the medians' sum; a dashed card was not measured")
        if answers is not None
        else "",
        "text": drawn.text,
    }
    svg = template.render(values, standalone=True)
    return Figure(path_name(path), drawn.text, svg, template.render(values, standalone=False), True)


def _crossing(path: Path) -> str:
    if path.boundary.kind == "kernel":
        return say("past QEMU, carried by the kernel:")
    leaves = path.direction is Direction.TX
    if path.boundary.kind == "syscall":
        leaving = say("leaves QEMU through the system call")
        return leaving if leaves else say("enters QEMU through the system call")
    return say("leaves QEMU through the library's") if leaves else say("enters QEMU through the library's")


def _measured(path: Path, answers: Answers) -> tuple[list[Row], list[Row], str]:
    """The path's rows of stages and edges: from traffic in its own direction, else from round trips."""
    from qtrace.analyses.methods.data import qemu_of

    mine = {
        "nic": path.nic,
        "netdev": path.netdev,
        "datapath": path.datapath,
        "direction": path.direction.value,
    }

    def of(name: str, way: str) -> list[Row]:
        return [
            row
            for row in answers.ask(name)
            if row["way"] == way
            and all(row[key] == value for key, value in mine.items())
            and qemu_of(str(row["workload"])) == path.qemu
        ]

    for way in (path.direction.value, "both"):
        if rows := of("stages", way):
            return rows, of("stage_latency", way), clean(rows[0]["workload"])
    return [], [], ""


def _cards(path: Path, counts: Sequence[Row], edges: Sequence[Row], asked: bool) -> list[Card]:
    timed = {row["to_stage"]: row for row in edges if row["to_stage"] and present(row["p50_ns"])}
    total = sum(row["p50_ns"] for row in timed.values())
    cards: list[Card] = []
    between: list[str] = []
    y, last = _TOP, ""
    for step in path.steps:
        if step.stage is None:
            between.append(clean(step.function))
            continue
        role = step.stage.value
        via = _wrap(between)
        took = tail = ""
        bar = 0.0
        if cards and (edge := timed.get(role)):
            before = edge["from_stage"] or edge["from_function"]
            since = "" if before == last else say("since {stage}: ", stage=clean(before))
            took = f"{since}p50 {duration(edge['p50_ns'])}"
            tail = f"p99 {duration(edge['p99_ns'])}"
            bar = edge["p50_ns"] / total if total else 0.0
        gap = (12 + 15 * len(via) + (22 if took else 6)) if cards else 0
        y += gap
        row = _row(step, counts)
        elsewhere = _elsewhere(step, row)
        height = _CARD + 15 * bool(elsewhere)
        cards.append(
            Card(
                y=y,
                height=height,
                role=role,
                layer=layer(step.file, path.boundary.kind)[0],
                function=clean(step.function),
                place=_place(step, path.boundary.kind),
                counted=_counted(role, row, asked),
                elsewhere=elsewhere,
                measured=not asked or _is_measured(row),
                via=via,
                took=took,
                tail=tail,
                bar=bar,
                gap=gap,
            )
        )
        y += height
        between, last = [], role
    return cards


def _place(step: Step, beyond: str) -> str:
    file = clean(step.file)
    if not file:
        return say("library call") if beyond == "library" else say("system call")
    if step.line:
        return f"{file}:{step.line}"
    return f"{file} (Linux)" if layer(step.file)[0] == "kernel" else file


def _row(step: Step, counts: Sequence[Row]) -> Row | None:
    """The stage's measurement: of the step's own function if it was probed, else of the role's busiest."""
    rows = [row for row in counts if row["stage"] == (step.stage.value if step.stage else "")]
    own = [row for row in rows if row["function"] == step.function]
    return max(own or rows, key=lambda row: (bool(row["attached"]), row["calls"] or 0), default=None)


def _elsewhere(step: Step, row: Row | None) -> str:
    """The place at which the stage was counted, if it is not the function that the walk found."""
    if row is None or not row["attached"] or row["function"] == step.function:
        return ""
    return say("counted at {function} ({how})", function=clean(row["function"]), how=clean(row["how"]))


def _is_measured(row: Row | None) -> bool:
    return row is not None and bool(row["attached"])


def _counted(role: str, row: Row | None, asked: bool) -> str:
    if row is None or not row["attached"]:
        return say("not measured") if asked else ""
    if role in _CALLS or (not row["frames"] and row["calls"]):
        return say("{number} calls", number=count(row["calls"]))
    frames = say("{number} frames", number=count(row["frames"]))
    return say("{one}, {other}", one=frames, other=size(row["bytes"])) if row["bytes"] else frames


def _wrap(names: Sequence[str]) -> tuple[str, ...]:
    """The functions between two stages, on at most two lines."""
    lines: list[str] = []
    for number, name in enumerate(names):
        left = len(names) - number - 1
        # The last line must have room for the number of functions left out.
        room = _VIA_WIDTH - (len(say(" → {number} more", number=left)) if left and len(lines) == 2 else 0)
        if lines and len(lines[-1]) + len(name) + 3 <= room:
            lines[-1] += f" → {name}"
        elif len(lines) < 2:
            lines.append((say("via ") if not lines else "→ ") + name)
        else:
            return (lines[0], lines[1] + say(" → {number} more", number=left + 1))
    return tuple(lines)
