"""The interface of a probe file, and the search for probe files: a new name.py and name.bpf.c are found."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qtrace.model import Role
from qtrace.probes.shared import Loss, Shared, loss_declarations

__all__ = [
    "ANY",
    "Family",
    "Point",
    "Source",
    "families",
    "losses",
    "point_for",
    "program_text",
    "sources_in",
]

# Stands for every function of QEMU that no other family names.
ANY = "*"
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Point:
    """One function that a family can measure.

    `programs` are (kind, name of the BPF function), kind being `uprobe`, `uretprobe`, `kprobe` or
    `raw_tracepoint`. If `table` is not empty, the engine writes a stage's slot plus one to that BPF array, at
    the SIDE_INDEX (probes/common.py) of `index` and the stage's direction. `arguments`: the handler reads
    this many of the function's first arguments, so a probe may be placed behind an instruction that changes
    only others. `instead`: replacements in a kernel without the function; the first one that exists is
    probed. `also`: further functions that do the same for another driver; those that exist are probed too,
    and counted with the function. `stages`: the index of each stage, for a point that can measure several.
    """

    function: str
    programs: tuple[tuple[str, str], ...]
    table: str = ""
    index: int = 0
    note: str = ""
    arguments: int = 6
    instead: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    stages: Mapping[Role, int] = field(default_factory=dict)

    def index_of(self, stage: Role | None) -> int:
        """The point's index in `table` for this stage."""
        return self.index if stage is None else self.stages.get(stage, self.index)


@dataclass(frozen=True, slots=True)
class Family:
    """One boundary of the kernel or of QEMU. `needs`: `uprobes`, `kprobes`, `raw tracepoints`, `vhost`.

    `layout` are the structure offsets that its programs read, as `Struct.field`. A session empties the BPF
    maps `tables` when it opens. It empties the BPF maps `memories`, in which one hit leaves data for the
    next, also whenever counting begins or resumes.
    """

    name: str
    summary: str
    needs: tuple[str, ...]
    points: tuple[Point, ...]
    layout: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    memories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """A C text, and its definitions shared with Python."""

    file: Path
    shared: Shared = field(default_factory=Shared)

    @property
    def name(self) -> str:
        """The name with its folder: `probes/vhost`."""
        return f"{self.file.parent.name}/{self.file.name.removesuffix('.bpf.c')}"

    def declarations(self) -> str:
        """C declarations that precede all texts; WITH_VHOST is defined, so that others can test for this
        one."""
        return f"#define WITH_{self.name.rpartition('/')[2].upper()}\n{self.shared.declarations()}"


def families() -> list[Family]:
    """Every family in this folder, by name. A file without a `FAMILY` is a helper. A family without points
    holds definitions that others share."""
    found = []
    for module in pkgutil.iter_modules([str(_HERE)]):
        family = getattr(importlib.import_module(f"qtrace.probes.{module.name}"), "FAMILY", None)
        if isinstance(family, Family):
            found.append(family)
    return sorted(found, key=lambda family: family.name)


def point_for(function: str, kind: str) -> Point | None:
    """The point that measures `function`: one with its name, else the general uprobe, else None."""
    points = [point for family in families() for point in family.points]
    for point in points:
        if point.function == function and any(how == kind for how, _ in point.programs):
            return point
    if kind == "uprobe":
        return next((point for point in points if point.function == ANY), None)
    return None


def sources_in(folder: Path, package: str) -> list[Source]:
    """Every NAME.bpf.c of a folder with a NAME.py beside it, and the `SHARED` of `package`'s module NAME.

    A NAME.bpf.c without NAME.py belongs to an instrument (qtrace/measure/instruments), which adds it if
    wanted.
    """
    found = []
    for file in sorted(folder.glob("*.bpf.c")):
        name = file.name.removesuffix(".bpf.c")
        if (folder / f"{name}.py").exists():
            module = importlib.import_module(f"{package}.{name}")
            found.append(Source(file, getattr(module, "SHARED", Shared())))
    return found


def losses(others: Iterable[Source] = ()) -> tuple[Loss, ...]:
    """The meaning of each element of the BPF array `lost`, in a program with the same `others`."""
    return tuple(loss for source in _all(others) for loss in source.shared.losses)


def program_text(others: Iterable[Source] = ()) -> str:
    """All programs as one C text, with `others` from other folders: it is compiled once for every path.

    Declarations made from Python come first, then common.bpf.c, then the others.
    """
    sources = _all(others)
    made = [_headed(f"made for {source.name}.bpf.c", source.declarations()) for source in sources]
    lost = _headed("made from every `losses`", loss_declarations(losses(others)))
    texts = [_headed(f"{source.name}.bpf.c", source.file.read_text()) for source in sources]
    return "\n".join([*filter(None, made), lost, *texts])


def _all(others: Iterable[Source]) -> Sequence[Source]:
    """The sources of this folder and the others; common.bpf.c is first."""
    here = sources_in(_HERE, "qtrace.probes")
    return [*sorted(here, key=lambda source: source.file.name != "common.bpf.c"), *others]


def _headed(title: str, text: str) -> str:
    """The text behind a line that gives its name to the compiler's messages."""
    return f'#line 1 "{title}"\n{text}' if text else ""
