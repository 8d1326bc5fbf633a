"""What is said of the functions of Debian's stripped QEMU that have no name. docs/symbols-accuracy.md holds
the same against builds with symbols."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from qtrace.binary.code.bodies import function_ends
from qtrace.binary.file.elf import Elf
from qtrace.binary.symbols.names import FunctionNames
from qtrace.binary.symbols.neighbours import Neighbours, files_of_exports
from qtrace.binary.symbols.tcg_helpers import tcg_helpers
from qtrace.index.definitions import defined_functions, tcg_helper_names
from qtrace.store.index import Index

pytestmark = pytest.mark.needs("qemu-system-x86_64")


@pytest.fixture(scope="module", name="index")
def _index(earlier: Index) -> Index:
    return earlier


@pytest.fixture(scope="module")
def elf(earlier_file: Path) -> Elf:
    return Elf(earlier_file)


@pytest.fixture(scope="module")
def defined(index: Index) -> Mapping[str, frozenset[str]]:
    return defined_functions(Path(index.meta["root"]))


def test_the_text_of_the_tree_says_what_the_compiler_does(
    index: Index, defined: Mapping[str, frozenset[str]]
) -> None:
    """libclang has read the indexed files: what is defined there is found there, what is static is not."""
    rows = [row for row in index.functions().values() if row.line and row.file.endswith(".c")]
    named = {row.name for row in rows if not row.static}
    seen = [row for row in rows if not row.static and row.file in defined.get(row.name, ())]
    assert len(seen) > 0.95 * sum(not row.static for row in rows)  # macros make the others
    wrong = [
        row for row in rows if row.static and row.name not in named and row.file in defined.get(row.name, ())
    ]
    assert not [(row.name, row.file) for row in wrong]


def test_the_file_of_a_function_follows_from_those_around_it(
    elf: Elf, defined: Mapping[str, frozenset[str]]
) -> None:
    """Half of what is known is taken away; what is said of it then is what was known."""
    files = files_of_exports(elf.exports, defined)
    assert len(files) > 6000
    hidden = set(random.Random(1).sample(sorted(files), len(files) // 2))
    names = {
        address: (name, "" if name in hidden else files.get(name, ""))
        for name, address in sorted(elf.exports.items())
    }
    starts = sorted(function_ends(elf))
    around = Neighbours(elf, starts, names)
    said = {name: around.file(elf.exports[name]) for name in hidden if elf.exports[name] in starts}
    assert sum(bool(file) for file in said.values()) > 0.6 * len(hidden)
    assert not {name: (file, files[name]) for name, file in said.items() if file not in ("", files[name])}


def test_helpers_of_generated_code_are_named_by_the_table_of_them(elf: Elf, index: Index) -> None:
    declared = tcg_helper_names(Path(index.meta["root"]))
    starts = function_ends(elf)
    found = tcg_helpers(elf, starts, declared)
    assert len(found) > 300 and "helper_lookup_tb_ptr" in found.values()
    assert len(set(found.values())) == len(found) and not set(found) & set(elf.exports.values())
    assert not tcg_helpers(elf, starts, ())


def test_a_place_without_a_name_has_its_neighbours_and_its_file(
    elf: Elf, earlier_file: Path, index: Index, defined: Mapping[str, frozenset[str]]
) -> None:
    names = FunctionNames(earlier_file, index, defined, tcg_helper_names(Path(index.meta["root"])))
    begin, end = (elf.exports[name] for name in ("curr_cflags", "cpu_exec_step_atomic"))
    inside = [start for start in function_ends(elf) if begin < start < end]
    assert inside
    for start in inside:
        name, file = names.at(elf.offset_of(start))
        assert (name, file) == ("helper_lookup_tb_ptr", "accel/tcg/cpu-exec.c")
    begin, end = (elf.exports[name] for name in ("plugin_gen_tb_end", "tlb_init"))
    inside = sorted(start for start in function_ends(elf) if begin < start < end)
    said = [names.around(elf.offset_of(start)) for start in inside]
    assert len(said) > 10
    assert {file for _, file in said[-10:]} == {"accel/tcg/cputlb.c"}
    for number, (where, file) in enumerate(said, 1):
        assert where.startswith(f"{number} of {len(said)} between plugin_gen_tb_end and tlb_init")
        assert file in ("", "accel/tcg/cputlb.c", "accel/tcg/plugin-gen.c")
    assert names.around(0) == ("", "")
