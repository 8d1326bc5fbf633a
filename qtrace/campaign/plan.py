"""A plan: the cells, the repetitions and the durations. Plans are TOML files that people read and copy.

The plans that come with qtrace are in `plans/` beside this file and are known by name; any other
argument is a path.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from qtrace.errors import QtraceError
from qtrace.lab.workload.workload import workloads
from qtrace.model import Cell, Direction

__all__ = ["Block", "Job", "Plan", "PlanError", "load_plan", "plan_names", "stored_plan"]

DATAPATHS = ("qemu", "vhost-net")
_MOST_REPETITIONS = 1000
# Characters allowed in a file's name (qtrace.store.run), and in a cell's id.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MOST_SECONDS = 3600
_LEAST_PRECISION, _MOST_PRECISION = 0.001, 0.5
_AT_MOST = 120.0


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
    """The cells that are compared with each other: all back ends of one NIC, direction and workload.

    One machine measures a block whole, because a ratio holds only within one machine. `id` is
    NIC+DIRECTION+WORKLOAD.
    """

    id: str
    cells: tuple[Cell, ...]
    baseline: Cell | None = None  # the one of `cells` that the others are compared with

    @property
    def again(self) -> Cell | None:
        """The baseline under another name: what is measured twice, to see what difference that shows."""
        return replace(self.baseline, again=True) if self.baseline else None


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan as read. `seconds` maps each workload to the seconds of traffic in one measurement.

    `repetitions` are measured in any case. With `precision` a cell is then measured on
    (`qtrace.campaign.rounds`), until half the 95 % interval of its ratio to the baseline is within that share
    of the ratio, or its measurements have taken `at_most` seconds.
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
                for probed in (False,) if cell.again else (first, not first):
                    jobs.append(Job(cell, rep, probed, len(jobs)))
        return tuple(jobs)

    def to_json(self) -> dict[str, Any]:
        """The plan as run.json stores it."""
        return {
            "name": self.name,
            "title": self.title,
            "repetitions": self.repetitions,
            "seed": self.seed,
            "seconds": dict(self.seconds),
            "baseline": dict(self.baseline),
            "cells": [cell.id for cell in self.cells],
            "blocks": [block.id for block in self.blocks],
        } | ({"precision": self.precision, "at_most": self.at_most} if self.precision else {})


def _block_of(cell: Cell) -> str:
    return "+".join((cell.nic, cell.way, cell.workload))


def plan_names() -> list[str]:
    """The plans that come with qtrace."""
    folder = resources.files("qtrace.campaign") / "plans"
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def load_plan(name_or_path: str) -> Plan:
    """Read a plan by its name or its path. Raises PlanError."""
    if name_or_path in plan_names():
        where = f"plan {name_or_path}"
        text = (resources.files("qtrace.campaign") / "plans" / f"{name_or_path}.toml").read_text()
    else:
        where = name_or_path
        try:
            text = Path(name_or_path).read_text()
        except (OSError, UnicodeDecodeError) as exc:
            known = ", ".join(plan_names())
            reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
            raise PlanError(
                f"cannot read the plan {name_or_path}: {reason}", hint=f"plans that come with qtrace: {known}"
            ) from exc
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise PlanError(f"{where} is not TOML: {exc}") from exc
    return _Reader(where, data).plan()


def stored_plan(data: Mapping[str, Any], where: str) -> Plan:
    """The plan that `Plan.to_json` wrote into the file `where`. Raises PlanError."""
    entries = []
    cells = data.get("cells")
    if not isinstance(cells, list):
        raise PlanError(f"{where}: the plan has no list of cells")
    for name in cells:
        parts = str(name).split("+")
        if len(parts) != 5:
            raise PlanError(f"{where}: {name!r} is no cell")
        entry = dict(zip(("nic", "netdev", "datapath"), parts, strict=False)) | {"workloads": parts[4:]}
        entries.append(entry | ({} if parts[3] == "both" else {"directions": parts[3:4]}))
    return _Reader(
        where, {key: value for key, value in data.items() if key != "blocks"} | {"cells": entries}
    ).plan()


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

    def plan(self) -> Plan:
        self.only(
            self.data,
            (
                *("name", "title", "repetitions", "precision", "at_most"),
                *("seed", "seconds", "baseline", "cells"),
            ),
            "the plan",
        )
        name = self.text(self.data, "name")
        if not _NAME.fullmatch(name):
            raise self.fail(f"{name!r} cannot be a plan's name: letters, digits, '.', '_' and '-'")
        raw = self.data.get("cells")
        if not isinstance(raw, list) or not raw or not all(isinstance(entry, dict) for entry in raw):
            raise self.fail("a plan needs at least one [[cells]] entry")
        cells: list[Cell] = []
        for entry in raw:
            cells += self.cells(entry)
        twice = {cell.id for cell in cells if cells.count(cell) > 1}
        if twice:
            raise self.fail(f"the cell {min(twice)} stands twice")
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
        )

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
        return {"netdev": self.text(table, "netdev", "tap"), "datapath": self.text(table, "datapath", "qemu")}

    def cells(self, entry: Mapping[str, Any]) -> list[Cell]:
        self.only(entry, ("nic", "netdev", "datapath", "directions", "workloads"), "[[cells]]")
        nic, netdev = self.text(entry, "nic"), self.text(entry, "netdev")
        datapath = self.text(entry, "datapath", "qemu")
        if datapath not in DATAPATHS:
            raise self.fail(f"unknown datapath {datapath!r} (known: {', '.join(DATAPATHS)})")
        for part in (nic, netdev):
            if not _NAME.fullmatch(part):
                raise self.fail(f"{part!r} cannot be the name of a NIC or netdev")
        directions = self.choices(entry, "directions", [item.value for item in Direction])
        found: list[Cell] = []
        standard = [name for name, workload in workloads().items() if workload.standard]
        for workload in self.choices(entry, "workloads", [*workloads()], standard):
            if workloads()[workload].directed:
                found += [Cell(nic, netdev, datapath, Direction(way), workload) for way in directions]
            else:
                found.append(Cell(nic, netdev, datapath, None, workload))
        return found

    def choices(
        self, entry: Mapping[str, Any], key: str, known: list[str], default: list[str] | None = None
    ) -> list[str]:
        chosen = entry.get(key, default or known)
        if not isinstance(chosen, list) or not chosen or not all(item in known for item in chosen):
            raise self.fail(f"{key!r} must be a list out of: {', '.join(known)}")
        return list(dict.fromkeys(chosen))
