"""Programs from the cache are those that were compiled, and only what is in order is taken from it."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from modules import Make

from qtrace.measure.instrument_registry import instruments
from qtrace.probes import program_text
from qtrace.trace.bpf.compiled import typed_library

SOURCES = [entry.source for entry in instruments().values()]
pytestmark = pytest.mark.needs("root", "bcc")
TEXT = """
BPF_HASH(seen, u32, u64, 16);
int on_function(void *ctx) { u32 key = 7; u64 *value = seen.lookup(&key); if (value) *value += 1; return 0; }
"""


def _tables(module: Any, names: list[bytes]) -> list[object]:
    """What the kernel says of each map, and what Python makes of its keys and values."""
    found: list[object] = []
    for name in names:
        table = module[name]
        lines = Path(f"/proc/self/fdinfo/{table.map_fd}").read_text().splitlines()
        about = dict(line.split(":\t") for line in lines if ":\t" in line)
        shown = [about[key] for key in ("map_type", "key_size", "value_size", "max_entries", "map_flags")]
        types = [str(getattr(kind, "_fields_", kind)) for kind in (table.Key, table.Leaf)]
        found.append((name, type(table).__name__, shown, types))
    return found


def _tag(function: Any) -> str:
    """The kernel's own hash of a program's instructions, descriptors of maps left out."""
    lines = Path(f"/proc/self/fdinfo/{function.fd}").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("prog_tag:"))


def test_what_is_kept_is_what_was_compiled(make: Make, headers: Path | None) -> None:
    from bcc import BPF

    lib = typed_library()
    compiled, first = make(program_text(SOURCES), headers)
    again, second = make(program_text(SOURCES), headers)
    assert (first, second) == (False, True)
    count = lib.bpf_num_tables(compiled.module)
    assert count > 30 and lib.bpf_num_tables(again.module) == count
    names = [lib.bpf_table_name(compiled.module, number) for number in range(count)]
    assert _tables(again, names) == _tables(compiled, names)
    numbers = range(lib.bpf_num_functions(compiled.module))
    functions = [lib.bpf_function_name(compiled.module, number) for number in numbers]
    kinds = {b"on_cpu_clock": BPF.PERF_EVENT, b"on_sys_exit": BPF.RAW_TRACEPOINT}
    assert len(functions) > 10
    for name in functions:
        kind = kinds.get(name, BPF.KPROBE)
        assert _tag(again.load_func(name, kind)) == _tag(compiled.load_func(name, kind)), name


def test_another_text_is_compiled(make: Make, headers: Path | None) -> None:
    assert not make(TEXT, headers)[1]
    assert make(TEXT, headers)[1]
    assert not make(TEXT.replace("7", "8"), headers)[1]


def _halved(text: str) -> str:
    return text[: len(text) // 2]


def _changed(text: str) -> str:
    """One digit of a program's, which is as valid as before."""
    head, _, programs = text.rpartition('"programs"')
    return f'{head}"programs"{programs.replace("00", "01", 1)}'


@pytest.mark.parametrize("damage", [_halved, _changed])
def test_a_damaged_file_is_made_again(make: Make, headers: Path | None, damage: Callable[[str], str]) -> None:
    make(TEXT, headers)
    (file,) = Path(os.environ["QTRACE_CACHE"], "programs").glob("*.kept")
    whole = file.read_text()
    file.write_text(damage(whole))
    assert not make(TEXT, headers)[1]
    assert file.read_text() == whole
    assert make(TEXT, headers)[1]


def test_what_another_user_has_put_there_is_not_loaded(make: Make, headers: Path | None) -> None:
    make(TEXT, headers)
    (file,) = Path(os.environ["QTRACE_CACHE"], "programs").glob("*.kept")
    os.chown(file, 65534, 65534)
    assert not make(TEXT, headers)[1]
    assert file.stat().st_uid == 0  # ours is in its place


def test_without_a_cache_the_programs_are_compiled(
    make: Make, headers: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QTRACE_CACHE", "/proc/no-cache")
    assert not make(TEXT, headers)[1]


def test_a_module_that_lies_high_in_memory_is_kept(make: Make, headers: Path | None) -> None:
    """What a thread allocates lies beyond 32 bits, where in a small process little else does."""
    with ThreadPoolExecutor(1) as pool:
        module, _ = pool.submit(make, program_text(SOURCES), headers).result()
    assert module.module >> 32
    assert make(program_text(SOURCES), headers)[1]
