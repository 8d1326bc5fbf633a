"""A plan: the cells, the repetitions and the durations. Plans are TOML files that people read and copy.

The plans that come with qtrace are in `plans/` beside this file and are known by name; any other
argument is a path.
"""

from __future__ import annotations

import itertools
import random
import re
import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any

from qtrace.errors import QtraceError
from qtrace.lab.workload.possible import why_not
from qtrace.lab.workload.workload import workloads
from qtrace.model import VHOST_USER, Cell, Direction, Setting

__all__ = [
    "Block",
    "Job",
    "LeftOut",
    "Plan",
    "PlanError",
    "load_plan",
    "plan_names",
    "plan_text",
    "stored_plan",
]

DATAPATHS = ("qemu", "vhost-net", VHOST_USER)
_MOST_REPETITIONS = 1000
# Characters allowed in a file's name (qtrace.store.run), and in a cell's id.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MOST_SECONDS = 3600
_LEAST_PRECISION, _MOST_PRECISION = 0.001, 0.5
_AT_MOST = 120.0
_MOST_GUESTS = 256
_MOST_HERTZ = 1000
_MOST_CELLS = 20_000
# Axis -> the least and the greatest of its numbers. docs/campaign.md has their units.
_NUMBERS: Mapping[str, tuple[float, float]] = {
    "mtu": (576, 9000),
    "size": (16, 65_000),
    "rate": (1000, 10**12),
    "streams": (1, 64),
    "queues": (1, 8),
    "rtt": (0.1, 1000),
    "loss": (0.001, 50),
}
_WORDS = {"offloads": ("on", "off"), "peer": ("host", "neighbour", "guest")}
_AXES = (*_NUMBERS, *_WORDS, "qemu")
_RELEASE = re.compile(r"[0-9]+(?:\.[0-9]+){0,2}")


class PlanError(QtraceError):
    """An unreadable or contradictory plan; the message names the file and the key."""


@dataclass(frozen=True, slots=True)
class Job:
    """One measurement to take: a cell, its repetition (from 1), with or without probes."""

    cell: Cell
    rep: int
    probed: bool
    order: int


@dataclass(frozen=True, slots=True)
class Block:
    """The cells that are compared with each other: all back ends of one NIC, direction, workload and setting,
    in one QEMU.

    One machine measures a block whole, because a ratio holds only within one machine. `id` is
    NIC+DIRECTION+WORKLOAD, and the setting's words.
    """

    id: str
    cells: tuple[Cell, ...]
    baseline: Cell | None = None  # the one of `cells` that the others are compared with

    @property
    def again(self) -> Cell | None:
        """The baseline under another name: what is measured twice, to see what difference that shows."""
        return replace(self.baseline, again=True) if self.baseline else None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A cell that a plan's lists name and nobody can measure."""

    cell: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan as read. `seconds` maps each workload to the seconds of traffic in one measurement.

    `repetitions` are measured in any case. With `precision` a cell is then measured on
    (`qtrace.campaign.rounds`), until half the 95 % interval of its ratio to the baseline is within that share
    of the ratio, or its measurements have taken `at_most` seconds. With `probes`, each repetition is measured
    without and with probes, else only without. `guests` is the most that run at the same time, 0 for all.
    With `cpu_hertz` the measurements with probes sample the functions in which QEMU's threads are, so many
    times a second; with `copies` they count the bytes that QEMU copies. `qemus` says where a QEMU is that a
    cell names: the path of its program, or a release of the distribution.
    """

    name: str
    title: str
    repetitions: int
    seed: int
    seconds: Mapping[str, float]
    baseline: Mapping[str, str]
    cells: tuple[Cell, ...]
    precision: float | None = None
    at_most: float = _AT_MOST
    probes: bool = True
    guests: int = 0
    cpu_hertz: int = 0
    copies: bool = False
    qemus: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Every block, in the order of the plan; each cell is in one of them."""
        found: dict[str, list[Cell]] = {}
        for cell in self.cells:
            found.setdefault(_block_of(cell), []).append(cell)
        return tuple(
            Block(name, tuple(cells), next(filter(self._is_baseline, cells), None))
            for name, cells in found.items()
        )

    def _is_baseline(self, cell: Cell) -> bool:
        return (cell.netdev, cell.datapath) == (self.baseline["netdev"], self.baseline["datapath"])

    def chosen(self, blocks: Collection[str] = ()) -> tuple[Block, ...]:
        """The blocks of these ids, or all."""
        return tuple(block for block in self.blocks if not blocks or block.id in blocks)

    def jobs(self, blocks: Collection[str] = ()) -> tuple[Job, ...]:
        """The measurements of these blocks, or of all, that are taken in any case, in their order.

        Repetitions are rounds: within a round the cells are shuffled, and each is measured without and with
        probes, in alternating order, so that a drift of the machine affects all alike. Each block's baseline
        is among them a second time, without probes.
        """
        chosen = self.chosen(blocks)
        mine = [cell for block in chosen for cell in block.cells]
        mine += [block.again for block in chosen if block.again]
        shuffler = random.Random(self.seed)
        jobs: list[Job] = []
        for rep in range(1, self.repetitions + 1):
            for cell in shuffler.sample(mine, len(mine)):
                first = shuffler.random() < 0.5
                for probed in (first, not first) if self.probes and not cell.again else (False,):
                    jobs.append(Job(cell, rep, probed, len(jobs)))
        return tuple(jobs)

    def groups(self, blocks: Collection[str] = ()) -> tuple[tuple[str, ...], ...]:
        """The ids of these blocks, or of all, in groups of at most `guests` guests; one NIC's blocks, in
        which ratios are taken, stay together."""
        groups: list[list[Block]] = []
        for mine in self._by_nic(blocks):
            if groups and (not self.guests or _guests_of([*groups[-1], *mine]) <= self.guests):
                groups[-1] += mine
            else:
                groups.append([*mine])
        return tuple(tuple(block.id for block in group) for group in groups)

    def guests_at_once(self, blocks: Collection[str] = ()) -> int:
        """The most guests of these blocks, or of all, that are up at the same time."""
        return max(_guests_of(self.chosen(group)) for group in self.groups(blocks))

    def _by_nic(self, blocks: Collection[str]) -> Iterable[list[Block]]:
        found: dict[str, list[Block]] = {}
        for block in self.chosen(blocks):
            found.setdefault(block.cells[0].nic, []).append(block)
        return found.values()

    def without(self, cells: Iterable[str]) -> Plan:
        """The plan without the cells of these ids."""
        gone = {*cells}
        return replace(self, cells=tuple(cell for cell in self.cells if cell.id not in gone))

    def to_json(self) -> dict[str, Any]:
        """The plan as run.json stores it."""
        return {
            "name": self.name,
            "title": self.title,
            "repetitions": self.repetitions,
            "seed": self.seed,
            "seconds": dict(self.seconds),
            "baseline": dict(self.baseline),
            "probes": self.probes,
            "guests": self.guests,
            "cells": [cell.id for cell in self.cells],
            "left_out": [{"cell": one.cell, "reason": one.reason} for one in self.left_out],
            "blocks": [block.id for block in self.blocks],
            **({"precision": self.precision, "at_most": self.at_most} if self.precision else {}),
            **({"cpu_hertz": self.cpu_hertz} if self.cpu_hertz else {}),
            **({"copies": True} if self.copies else {}),
            **({"qemu": dict(self.qemus)} if self.qemus else {}),
        }


def _block_of(cell: Cell) -> str:
    return "+".join((cell.nic, cell.way, cell.workload, *cell.setting.words))


def _usual_datapath(netdev: str) -> str:
    return VHOST_USER if netdev == VHOST_USER else "qemu"


def _guests_of(blocks: Iterable[Block]) -> int:
    """How many guests these blocks need: cells with the same NIC, back end and shape share one."""
    cells = [cell for block in blocks for cell in block.cells]
    shapes = {(cell.nic, cell.netdev, cell.datapath, cell.setting.shape) for cell in cells}
    return sum(2 if shape.peer == "guest" else 1 for *_, shape in shapes)


def plan_names() -> list[str]:
    """The plans that come with qtrace."""
    folder = resources.files("qtrace.campaign") / "plans"
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def plan_text(name_or_path: str) -> str:
    """The TOML text of a plan, by its name or its path. Raises PlanError."""
    if name_or_path in plan_names():
        return (resources.files("qtrace.campaign") / "plans" / f"{name_or_path}.toml").read_text()
    try:
        return Path(name_or_path).read_text()
    except (OSError, UnicodeDecodeError) as exc:
        known = ", ".join(plan_names())
        reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
        raise PlanError(
            f"cannot read the plan {name_or_path}: {reason}", hint=f"plans that come with qtrace: {known}"
        ) from exc


def load_plan(name_or_path: str) -> Plan:
    """Read a plan by its name or its path. Raises PlanError."""
    text = plan_text(name_or_path)
    where = f"plan {name_or_path}" if name_or_path in plan_names() else name_or_path
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise PlanError(f"{where} is not TOML: {exc}") from exc
    return _Reader(where, data).plan()


def stored_plan(data: Mapping[str, Any], where: str) -> Plan:
    """The plan that `Plan.to_json` wrote into the file `where`. Raises PlanError."""
    entries = []
    cells, left_out = data.get("cells"), data.get("left_out", [])
    if not isinstance(cells, list) or not isinstance(left_out, list):
        raise PlanError(f"{where}: the plan has no list of cells")
    for name in cells:
        parts = str(name).split("+")
        try:
            setting = Setting.of_words(parts[5:])
        except ValueError as exc:
            raise PlanError(f"{where}: {name!r} is no cell") from exc
        if len(parts) < 5:
            raise PlanError(f"{where}: {name!r} is no cell")
        entry = dict(zip(("nic", "netdev", "datapath"), parts, strict=False)) | {"workloads": parts[4:5]}
        entry |= {item.name: getattr(setting, item.name) for item in fields(setting)}
        entries.append(entry | ({} if parts[3] == "both" else {"directions": parts[3:4]}))
    kept = {key: value for key, value in data.items() if key not in ("blocks", "left_out")}
    plan = _Reader(where, kept | {"cells": entries}).plan()
    found = [LeftOut(str(one.get("cell")), str(one.get("reason"))) for one in left_out if type(one) is dict]
    return replace(plan, left_out=tuple(found))


class _Reader:
    """Checks every key: a misspelt one is an error, not a default."""

    def __init__(self, where: str, data: Mapping[str, Any]) -> None:
        self.where = where
        self.data = data

    def fail(self, text: str) -> PlanError:
        return PlanError(f"{self.where}: {text}")

    def only(self, table: Mapping[str, Any], allowed: Sequence[str], name: str) -> None:
        unknown = sorted(set(table) - set(allowed))
        if unknown:
            raise self.fail(f"unknown key {unknown[0]!r} in {name} (known: {', '.join(allowed)})")

    def text(self, table: Mapping[str, Any], key: str, default: str | None = None) -> str:
        value = table.get(key, default)
        if not isinstance(value, str) or not value:
            raise self.fail(f"{key!r} must be a text")
        return value

    def whole(self, key: str, default: int, least: int, most: int) -> int:
        value = self.data.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.fail(f"{key!r} must be a whole number from {least} to {most}")
        return value

    def yes(self, key: str, default: bool) -> bool:
        value = self.data.get(key, default)
        if not isinstance(value, bool):
            raise self.fail(f"{key!r} must be true or false")
        return value

    def plan(self) -> Plan:
        self.only(
            self.data,
            (
                *("name", "title", "repetitions", "precision", "at_most", "probes", "guests"),
                *("seed", "seconds", "baseline", "cpu_hertz", "copies", "qemu", "cells"),
            ),
            "the plan",
        )
        name = self.text(self.data, "name")
        if not _NAME.fullmatch(name):
            raise self.fail(f"{name!r} cannot be a plan's name: letters, digits, '.', '_' and '-'")
        raw = self.data.get("cells")
        if not isinstance(raw, list) or not raw or not all(isinstance(entry, dict) for entry in raw):
            raise self.fail("a plan needs at least one [[cells]] entry")
        named = [cell for entry in raw for cell in self.cells(entry)]
        if twice := [name for name, times in Counter(cell.id for cell in named).items() if times > 1]:
            raise self.fail(f"the cell {min(twice)} stands twice")
        if len(named) > _MOST_CELLS:
            raise self.fail(f"{len(named)} cells are more than {_MOST_CELLS}")
        left_out = tuple(LeftOut(cell.id, reason) for cell in named if (reason := why_not(cell)))
        impossible = {one.cell for one in left_out}
        cells = [cell for cell in named if cell.id not in impossible]
        if not cells:
            raise self.fail(f"none of its cells can be: {left_out[0].reason}")
        return Plan(
            name=name,
            title=self.text(self.data, "title", name),
            repetitions=self.whole("repetitions", 3, 1, _MOST_REPETITIONS),
            seed=self.whole("seed", 1, 0, 2**63 - 1),
            seconds=self.seconds({cell.workload for cell in cells}),
            baseline=self.baseline(),
            cells=tuple(cells),
            precision=self.precision(),
            at_most=self.number("at_most", _AT_MOST, 1, _MOST_SECONDS),
            probes=self.yes("probes", True),
            guests=self.whole("guests", 0, 0, _MOST_GUESTS),
            cpu_hertz=self.whole("cpu_hertz", 0, 0, _MOST_HERTZ),
            copies=self.yes("copies", False),
            qemus=self.qemus({cell.setting.qemu for cell in named}),
            left_out=left_out,
        )

    def qemus(self, used: Set[str]) -> dict[str, str]:
        """Name -> the path of a program, or a release of the distribution; a name that is a release of QEMU
        may be absent."""
        table = self.data.get("qemu", {})
        if not isinstance(table, dict):
            raise self.fail("'qemu' must be a table")
        for name, place in table.items():
            if not _NAME.fullmatch(name):
                raise self.fail(f"{name!r} cannot be the name of a QEMU")
            if not isinstance(place, str) or not (place.startswith("/") or _NAME.fullmatch(place)):
                raise self.fail(
                    f"qemu.{name} must be the whole path of a program, or a release of the distribution"
                )
        if lost := sorted(name for name in used - {"", *table} if not _RELEASE.fullmatch(name)):
            raise self.fail(f"{lost[0]!r} is no release of QEMU: say in [qemu] where that one is")
        return dict(table)

    def precision(self) -> float | None:
        if "precision" in self.data:
            return self.number("precision", 0, _LEAST_PRECISION, _MOST_PRECISION)
        if "at_most" in self.data:
            raise self.fail("'at_most' is the time for reaching a 'precision', which the plan does not name")
        return None

    def number(self, key: str, default: float, least: float, most: float) -> float:
        value = self.data.get(key, default)
        if type(value) not in (int, float) or not least <= value <= most:
            raise self.fail(f"{key!r} must be a number from {least:g} to {most:g}")
        return float(value)

    def seconds(self, used: Set[str]) -> dict[str, float]:
        table = self.data.get("seconds", {})
        if not isinstance(table, dict):
            raise self.fail("'seconds' must be a table")
        self.only(table, tuple(workloads()), "[seconds]")
        chosen = {name: workload.seconds for name, workload in workloads().items()} | table
        for workload, value in chosen.items():
            least = workloads()[workload].least_seconds
            known = type(value) in (int, float) and least <= value <= _MOST_SECONDS
            if not known or value != int(value):
                raise self.fail(f"seconds.{workload} must be a whole number from {least} to {_MOST_SECONDS}")
        wanted = {name for name, workload in workloads().items() if workload.standard} | used | set(table)
        return {name: float(value) for name, value in chosen.items() if name in wanted}

    def baseline(self) -> dict[str, str]:
        table = self.data.get("baseline", {})
        if not isinstance(table, dict):
            raise self.fail("'baseline' must be a table")
        self.only(table, ("netdev", "datapath"), "[baseline]")
        netdev = self.text(table, "netdev", "tap")
        return {"netdev": netdev, "datapath": self.text(table, "datapath", _usual_datapath(netdev))}

    def cells(self, entry: Mapping[str, Any]) -> list[Cell]:
        """Every combination of the entry's lists."""
        self.only(entry, ("nic", "netdev", "datapath", "directions", "workloads", *_AXES), "[[cells]]")
        back_ends = [
            (nic, netdev, datapath)
            for nic, netdev in itertools.product(self.texts(entry, "nic"), self.texts(entry, "netdev"))
            for datapath in self.texts(entry, "datapath", _usual_datapath(netdev))
        ]
        directions = self.choices(entry, "directions", [item.value for item in Direction])
        standard = [name for name, workload in workloads().items() if workload.standard]
        chosen = self.choices(entry, "workloads", [*workloads()], standard)
        settings = [
            Setting(**dict(zip(_AXES, values, strict=True)))
            for values in itertools.product(*(self.axis(entry, axis) for axis in _AXES))
        ]
        found: list[Cell] = []
        for (nic, netdev, datapath), workload, setting in itertools.product(back_ends, chosen, settings):
            ways = [Direction(way) for way in directions] if workloads()[workload].directed else [None]
            found += [Cell(nic, netdev, datapath, way, workload, setting) for way in ways]
        return found

    def texts(self, entry: Mapping[str, Any], key: str, default: str | None = None) -> list[str]:
        """A name or a list of names, each fit for a cell's id."""
        value = entry.get(key, default)
        names = value if isinstance(value, list) and value else [self.text(entry, key, default)]
        for name in names:
            if key == "datapath" and name not in DATAPATHS:
                raise self.fail(f"unknown datapath {name!r} (known: {', '.join(DATAPATHS)})")
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise self.fail(f"{name!r} cannot be the name of a NIC or netdev")
        return list(dict.fromkeys(names))

    def axis(self, entry: Mapping[str, Any], axis: str) -> list[Any]:
        """The values of one axis: one value or a list; its default stands for an axis that is not named."""
        default = next(item.default for item in fields(Setting) if item.name == axis)
        value = entry.get(axis, default)
        values = value if isinstance(value, list) and value else [value]
        for one in values:
            if axis not in _NUMBERS:
                self.word(axis, one)
                continue
            least, most = _NUMBERS[axis]
            whole = axis not in ("rtt", "loss")
            number = type(one) is int or (type(one) is float and not whole)
            if one != default and not (number and least <= one <= most):
                raise self.fail(
                    f"{axis!r} must be {'whole numbers' if whole else 'numbers'} from {least:g} to {most:g}"
                )
        return [float(one) if axis in ("rtt", "loss") else one for one in dict.fromkeys(values)]

    def word(self, axis: str, one: object) -> None:
        """Raise PlanError unless it is one of the axis's values."""
        if axis == "qemu":
            if not isinstance(one, str) or (one and not _NAME.fullmatch(one)):
                raise self.fail(f"{one!r} cannot be the name of a QEMU")
        elif one not in _WORDS[axis]:
            raise self.fail(f"{axis!r} must be of: {', '.join(_WORDS[axis])}")

    def choices(
        self, entry: Mapping[str, Any], key: str, known: list[str], default: list[str] | None = None
    ) -> list[str]:
        chosen = entry.get(key, default or known)
        if not isinstance(chosen, list) or not chosen or not all(item in known for item in chosen):
            raise self.fail(f"{key!r} must be a list out of: {', '.join(known)}")
        return list(dict.fromkeys(chosen))
