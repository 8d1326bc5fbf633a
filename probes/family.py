"""What a probe file says about itself, and how it is found: dropping name.py and name.bpf.c in is enough."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ANY", "Family", "Point", "families", "point_for", "program_text"]

# Stands for every function of QEMU's that no other family knows by name.
ANY = "*"
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Point:
    """One function that a family can measure.

    `programs` are (kind, name of the BPF function), kind being `uprobe`, `uretprobe`, `kprobe` or
    `raw_tracepoint`. Where `table` is not empty, the engine writes a stage's slot plus one at
    `index * 2 + direction` of that BPF array (tx is 0, rx is 1). `arguments`: so many of the function's
    first arguments are read, so a probe may stand behind an instruction that changes the others.
    """

    function: str
    programs: tuple[tuple[str, str], ...]
    table: str = ""
    index: int = 0
    note: str = ""
    arguments: int = 6


@dataclass(frozen=True, slots=True)
class Family:
    """One boundary of the kernel or of QEMU. `needs`: `uprobes`, `kprobes`, `raw tracepoints`, `vhost`.

    `layout` are the structure offsets that its programs read, as `Struct.field`. With `apart` its points
    measure no stage: an instrument of its own attaches them.
    """

    name: str
    summary: str
    needs: tuple[str, ...]
    points: tuple[Point, ...]
    layout: tuple[str, ...] = ()
    apart: bool = False


def families() -> list[Family]:
    """Every family in this folder, by name. A file without a `FAMILY` is a helper, not a family."""
    found = []
    for module in pkgutil.iter_modules([str(_HERE)]):
        family = getattr(importlib.import_module(f"qtrace.probes.{module.name}"), "FAMILY", None)
        if isinstance(family, Family):
            found.append(family)
    return sorted(found, key=lambda family: family.name)


def point_for(function: str, kind: str) -> Point | None:
    """The point that measures `function`: one that names it, else the one for any uprobe, else None."""
    points = [point for family in families() if not family.apart for point in family.points]
    for point in points:
        if point.function == function and any(how == kind for how, _ in point.programs):
            return point
    if kind == "uprobe":
        return next((point for point in points if point.function == ANY), None)
    return None


def program_text() -> str:
    """All programs as one C text, what they share first: it is compiled once for every path."""
    names = sorted(path.name for path in _HERE.glob("*.bpf.c"))
    names.sort(key=lambda name: name != "common.bpf.c")
    return "\n".join((_HERE / name).read_text() for name in names)
