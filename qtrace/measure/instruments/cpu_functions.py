"""In which functions QEMU's threads spend their CPU time: the run's table `cpu_functions`.

They are sampled by the kernel's software event cpu-clock.
"""

from __future__ import annotations

import contextlib
import ctypes
from bisect import bisect
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from qtrace.analyses.methods.stats import proportion
from qtrace.binary.symbols.names import FunctionNames
from qtrace.errors import BinaryError
from qtrace.index.definitions import defined_functions, tcg_helper_names
from qtrace.measure.effort import Effort
from qtrace.measure.qemu_process import QemuProcess
from qtrace.probes.family import Family, Point
from qtrace.probes.shared import Loss, Shared
from qtrace.store.index import Index
from qtrace.store.run import Tables
from qtrace.store.run_schema import TABLES
from qtrace.trace.qemu.target import Mapping as Span
from qtrace.trace.session.instrument import Tracing
from qtrace.trace.session.snapshot import Snapshot

__all__ = ["COLUMNS", "FAMILY", "SHARED", "UNKNOWN", "CpuFunctions", "CpuPlace", "instrument", "lines"]

UNKNOWN = "unknown"
# Stand for a file: the kernel, code that QEMU has made itself (TCG's translation of the guest's), none known.
_KERNEL, _GENERATED, _NOWHERE = "[kernel]", "[guest code]", "[unknown]"
_GUARD = 65536  # TCG's buffer is in regions with a page without rights between them
_PROGRAM = "on_cpu_clock"
_SHOWN = 8  # functions


class In(IntEnum):
    """Stands for an address."""

    KERNEL = 0
    GUEST = 1


SHARED = Shared(
    enums={"IN": In},
    losses=(Loss("CPU", "CPU samples beyond their map", "their functions are missing"),),
)
FAMILY = Family(
    name="cpu_functions",
    summary="samples of what the target's threads execute, at a fixed frequency on each processor",
    needs=("perf events",),
    points=(Point("cpu-clock", (("perf_event", _PROGRAM),), note="samples, no uprobe"),),
    tables=("cpu_samples",),
)
COLUMNS = (TABLES["cpu_functions"],)


def instrument(process: QemuProcess, effort: Effort) -> CpuFunctions | None:
    """Where a frequency is asked for."""
    return CpuFunctions(process, effort.cpu_hertz) if effort.cpu_hertz else None


@dataclass(frozen=True, slots=True)
class CpuPlace:
    """A place that a thread was seen at: the byte `offset` of the mapped file `file`, or one of the names in
    brackets, then without an offset."""

    thread: int
    file: str
    offset: int


class CpuFunctions:
    """Takes `hertz` samples a second on each processor, of the process's threads and vhost workers only."""

    family = FAMILY
    columns = COLUMNS

    def __init__(self, process: QemuProcess, hertz: int) -> None:
        self._process, self.hertz = process, hertz
        self._files = process.files  # asked for now: it may have ended when its functions are named
        self._spans: list[Span] = []

    def open(self, tracing: Tracing) -> None:
        """Attach to every processor that is online. Raises TraceError."""
        self._tracing = tracing
        tracing.attached.clock(_PROGRAM, self.hertz)

    def begin(self) -> None:
        """Forget the window before, and look where the generated code is."""
        module, target = self._tracing.module, self._tracing.target
        module[b"cpu_samples"].clear()
        self._spans = [span for span in target.mappings() if span.executable]
        made = sorted(_joined(self._spans), key=lambda pair: pair[0] - pair[1])
        table = module[b"cpu_generated"]
        for index in range(len(table)):
            first, end = made[index] if index < len(made) else (0, 0)
            table[ctypes.c_int(index)] = table.Leaf(first=first, end=end)

    def samples(self) -> Mapping[CpuPlace, int]:
        """How many samples of this window each place has."""
        module, target = self._tracing.module, self._tracing.target
        # What was loaded meanwhile, and what is gone again.
        spans = {span.first: span for span in [*self._spans, *target.mappings()] if span.executable}
        ordered = sorted(spans.values(), key=lambda span: span.first)
        found: Counter[CpuPlace] = Counter()
        for at, count in module[b"cpu_samples"].items():
            file, offset = _place(int(at.address), ordered)
            found[CpuPlace(int(at.thread), file, offset)] += int(count.value)
        return found

    def tables(self, snapshot: Snapshot, owners: Collection[int]) -> Tables:
        """`cpu_functions` of the whole process."""
        if 0 not in owners:
            return {}
        names = {tid: used.name for tid, used in snapshot.threads.items()}
        return {"cpu_functions": self.rows(self.samples(), names)}

    def rows(self, samples: Mapping[CpuPlace, int], threads: Mapping[int, str]) -> list[dict[str, Any]]:
        """One row a thread and function, the most frequent first; `threads`: id -> name.

        `file` is the function's in QEMU's tree where it is known, else the name of the binary. A function
        without a name is UNKNOWN, with the named ones that it lies between.
        """
        names: dict[str, FunctionNames | None] = {}
        counts: Counter[tuple[int, str, str]] = Counter()
        program = next(iter(self._files))
        for place, count in samples.items():
            if place.file not in names:
                index = self._process.index if place.file == program else None
                names[place.file] = _names(self._files.get(place.file), index)
            function, file = _function(place, names[place.file])
            counts[place.thread, function, file] += count
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return [
            {
                "thread": threads.get(thread, ""),
                "tid": thread,
                "function": function,
                "file": file,
                "samples": count,
                "hertz": self.hertz,
            }
            for (thread, function, file), count in ordered
        ]

    def conditions(self) -> dict[str, str]:
        """How often."""
        return {"CPU samples": f"{self.hertz} a second on each processor (cpu-clock)"}

    def close(self) -> None:
        """Nothing: the events are the session's."""


def lines(tables: Tables) -> Iterator[str]:
    """For `record`: the most frequent functions, each with its share and that one's 95 % interval."""
    counts: Counter[tuple[str, str]] = Counter()
    rows = tables.get("cpu_functions", [])
    for row in rows:
        counts[row["function"], row["file"]] += row["samples"]
    if not (total := counts.total()):
        return
    yield f"CPU time, {total:,} samples, {total / rows[0]['hertz']:.2f} s:"
    for (function, file), count in counts.most_common(_SHOWN):
        share = proportion(count, total)
        ends = f"({100 * share.low:.1f} to {100 * share.high:.1f} %)"
        yield f"   {100 * share.mean:5.1f} % {ends:<18}{function:<35} {file}"


def _joined(spans: Sequence[Span]) -> list[tuple[int, int]]:
    """(first, end) of the memory that no file is behind, neighbours as one."""
    found: list[tuple[int, int]] = []
    for span in spans:
        if span.name:
            continue
        if found and span.first - found[-1][1] <= _GUARD:
            found[-1] = found[-1][0], span.end
        else:
            found.append((span.first, span.end))
    return found


def _place(address: int, spans: Sequence[Span]) -> tuple[str, int]:
    """(file or its stand-in, offset) of an address as the program wrote it."""
    if address == In.KERNEL:
        return _KERNEL, 0
    if address == In.GUEST:
        return _GENERATED, 0
    at = bisect(spans, address, key=lambda span: span.first) - 1
    if at < 0 or address >= spans[at].end:
        return _NOWHERE, 0
    span = spans[at]
    if not span.name:
        return _GENERATED, 0
    return span.name, address - span.first + span.offset if span.name.startswith("/") else 0


def _names(path: Path | None, index: Index | None) -> FunctionNames | None:
    with contextlib.suppress(BinaryError):
        if path and index:
            tree = Path(index.meta["root"])
            return FunctionNames(path, index, defined_functions(tree), tcg_helper_names(tree))
        return FunctionNames(path) if path else None
    return None


def _function(place: CpuPlace, names: FunctionNames | None) -> tuple[str, str]:
    if place.file.startswith("["):  # the kernel, generated code, [vdso]
        return place.file, ""
    binary = Path(place.file.removesuffix(" (deleted)")).name
    function, file = names.at(place.offset) if names else ("", "")
    if not function and names:
        where, file = names.around(place.offset)
        function = f"{UNKNOWN} ({where})" if where else UNKNOWN
    return function or UNKNOWN, file or binary
