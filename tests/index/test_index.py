"""The index itself: in place the second time, refuses what is no tree, keeps what it cannot resolve."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtrace.errors import SourceError, StoreError
from qtrace.index.build import ensure_index
from qtrace.index.guards import guards
from qtrace.index.prepare import attempts_of
from qtrace.index.tree import open_tree
from qtrace.store.index import Index, open_index


def test_the_second_time_it_is_in_place(index: Index) -> None:
    began = time.process_time()
    again, made = ensure_index()
    assert not made
    assert again.path == index.path
    assert time.process_time() - began < 2


def test_layouts_and_enums_are_there(index: Index) -> None:
    fields, size = index.struct("NetClientInfo")
    assert {"type", "size", "receive", "receive_iov"} <= fields.keys()
    assert fields["type"][0] == 0
    assert size > max(offset for offset, *_ in fields.values())
    assert index.enum("NetClientDriver")["NET_CLIENT_DRIVER_NIC"] == 1


def test_what_is_unresolved_is_listed(index: Index) -> None:
    left = index.unresolved()
    assert left
    assert all(file and line for _, file, line, _ in left)


def test_every_file_is_indexed_and_errors_are_kept(index: Index) -> None:
    assert index.counts()["files"] == len(open_tree(Path(index.meta["root"])).files)


def test_errors_are_in_files_for_other_systems_alone(index: Index) -> None:
    found = dict(index.errors_in(index.indexed_files()))
    others = {
        f"net/{name}.c" for name in ("netmap", "tap-solaris", "tap-win32", "vmnet-host", "vmnet-shared")
    }
    assert found.keys() == others
    assert all("file not found" in errors for errors in found.values())


def first_tries(index: Index) -> dict[str, str]:
    tries = attempts_of(open_tree(Path(index.meta["root"])))
    return {file: names[0] for file, names in tries.items()}


def test_no_file_is_parsed_twice(index: Index) -> None:
    assert {file: index.flags_of(file) for file in index.indexed_files()} == first_tries(index)


def test_no_file_of_the_next_release_is_parsed_twice(newer: Index) -> None:
    assert {file: newer.flags_of(file) for file in newer.indexed_files()} == first_tries(newer)


def test_statics_of_the_same_name_are_told_apart(index: Index) -> None:
    files: dict[str, set[str]] = {}
    for row in index.functions().values():
        if row.static and row.file.endswith(".c"):
            files.setdefault(row.name, set()).add(row.file)
    shared = {name: places for name, places in files.items() if len(places) > 1}
    assert len(shared) > 5
    for name, places in shared.items():
        assert {row.file for row in index.function(name)} >= places


def test_a_folder_that_is_no_tree(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not a QEMU source tree"):
        open_tree(tmp_path)


def test_a_damaged_index(tmp_path: Path) -> None:
    file = tmp_path / "index.sqlite"
    file.write_bytes(b"SQLite format 3\0" + bytes(100))
    with pytest.raises(StoreError, match="not a source index"):
        open_index(file)


def test_guards_follow_nesting_else_and_elif() -> None:
    text = "a\n#ifdef A\nb\n#if B > 1\nc\n#else\nd\n#endif\n#endif\n#ifndef C\ne\n#elif D\nf\n#endif\n"
    found = dict(zip(text.splitlines(), guards(text), strict=True))
    assert found["a"] is None
    assert found["b"] == "defined(A)"
    assert found["c"] == "defined(A) && B > 1"
    assert found["d"] == "defined(A) && !(B > 1)"
    assert found["e"] == "!defined(C)"
    assert found["f"] == "!(!defined(C)) && D"


@given(st.lists(st.sampled_from(["#if A", "#ifdef B", "#else", "#elif C", "#endif", "x"]), max_size=30))
def test_guards_take_any_order_of_directives(lines: list[str]) -> None:
    assert len(guards("\n".join(lines))) == len("\n".join(lines).splitlines())
