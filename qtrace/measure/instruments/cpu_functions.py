"""CPU samples -> rows of a run's table `cpu_functions`: places become names."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qtrace.binary.symbols.names import FunctionNames
from qtrace.errors import BinaryError
from qtrace.index.definitions import defined_functions, tcg_helper_names
from qtrace.measure.qemu_process import QemuProcess
from qtrace.store.index import Index
from qtrace.trace.instruments.cpu_samples import CpuPlace

__all__ = ["UNKNOWN", "function_rows"]

UNKNOWN = "unknown"


def function_rows(
    samples: Mapping[CpuPlace, int],
    hertz: int,
    threads: Mapping[int, str],
    process: QemuProcess,
) -> list[dict[str, Any]]:
    """One row a thread and function, the most frequent first.

    `threads`: id -> name.

    `file` is the function's in QEMU's tree where it is known, else the name of the binary. A function without
    a name is UNKNOWN, with the named ones that it lies between.
    """
    names: dict[str, FunctionNames | None] = {}
    counts: dict[tuple[int, str, str], int] = {}
    files = process.files
    program = next(iter(files))
    for place, count in samples.items():
        if place.file not in names:
            index = process.index if place.file == program else None
            names[place.file] = _names(files.get(place.file), index)
        function, file = _function(place, names[place.file])
        key = (place.thread, function, file)
        counts[key] = counts.get(key, 0) + count
    return [
        {
            "thread": threads.get(thread, ""),
            "tid": thread,
            "function": function,
            "file": file,
            "samples": count,
            "hertz": hertz,
        }
        for (thread, function, file), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


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
