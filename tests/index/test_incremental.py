"""What has changed is read again, and nothing else; the outcome is that of reading everything."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from qtrace.errors import SourceError
from qtrace.index.build import ensure_index
from qtrace.index.facts import Facts
from qtrace.index.inputs import Inputs
from qtrace.index.prepare import COMMON, prepare
from qtrace.index.tree import open_tree
from qtrace.index.units import incomplete
from qtrace.progress import SILENT
from qtrace.store.index import Index

pytestmark = pytest.mark.usefixtures("side_cache")

_TABLES = ("functions", "tables", "variables", "registrations", "backends", "structs", "enums")
# Facts are kept by content, and a name of every run is in no cache.
NEW = f"qtrace_{secrets.token_hex(4)}"
Edit = Callable[[str, str, str], None]


@pytest.fixture(scope="module")
def tree(index: Index, side_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree that may be changed; the copy is indexed."""
    copy = tmp_path_factory.mktemp("tree") / "qemu"
    shutil.copytree(index.meta["root"], copy, symlinks=True)
    ensure_index(source=copy)
    return copy


@pytest.fixture
def edit(tree: Path) -> Edit:
    """Replace a text in a file of the tree."""

    def replace(file: str, old: str, new: str) -> None:
        path = tree / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return replace


def rows(index: Index) -> dict[str, set[tuple[object, ...]]]:
    """Every fact, with functions by USR: their numbers are an index's own."""
    with sqlite3.connect(index.path) as db:
        usrs = dict(db.execute("SELECT id, usr FROM functions"))
        found = {name: set(db.execute(f"SELECT * FROM {name}")) for name in _TABLES}
        edges = db.execute("SELECT caller, callee, file, line, kind, rule, evidence FROM edges").fetchall()
    found["functions"] = {row[1:] for row in found["functions"]}
    for name, what, value in (("tables", 3, 4), ("registrations", 1, 2)):
        found[name] = {
            tuple(
                usrs.get(int(str(cell)), cell) if n == value and row[what] in ("function", "made") else cell
                for n, cell in enumerate(row)
                if (name, n) != ("registrations", 4)
            )
            for row in found[name]
        }
    found["backends"] = {tuple(cell for n, cell in enumerate(row) if n != 3) for row in found["backends"]}
    return found | {"edges": {(usrs[row[0]], usrs[row[1]], *row[2:]) for row in edges}}


def test_the_same_content_elsewhere_is_not_parsed_again(tree: Path) -> None:
    index, made = ensure_index(source=tree)
    assert not made and index.meta["parsed"] == "0"


def test_one_file(tree: Path, edit: Edit) -> None:
    edit("net/tap.c", "tap_receive_iov", NEW)  # its definition
    edit("net/tap.c", "tap_receive_iov", NEW)  # its table
    index, made = ensure_index(source=tree)
    assert made and index.meta["parsed"] == "1"
    assert index.function(NEW) and not index.function("tap_receive_iov")
    edit("net/tap.c", NEW, "tap_receive_iov")
    edit("net/tap.c", NEW, "tap_receive_iov")
    index, made = ensure_index(source=tree)
    assert not made and index.function("tap_receive_iov")


def test_a_new_time_alone_changes_nothing(tree: Path) -> None:
    os.utime(tree / "net" / "net.c")
    os.utime(tree / "include" / "net" / "net.h")
    assert not ensure_index(source=tree)[1]


def test_a_header_makes_those_read_that_include_it_and_the_outcome_is_that_of_a_fresh_index(
    tree: Path, edit: Edit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header, text = "include/net/queue.h", "typedef struct NetQueue NetQueue;"
    edit(header, text, f"{text}\nstatic inline int {NEW}_here(void) {{ return 1; }}\n")
    edit("net/hub.c", "net_hub_port_receive(", f"{NEW}_got(")
    changed, _ = ensure_index(source=tree)
    assert 0 < int(changed.meta["parsed"]) < changed.counts()["files"]
    assert changed.function(f"{NEW}_here")
    monkeypatch.setenv("QTRACE_CACHE", str(tmp_path))
    for name in ("packages", "apt", "images"):  # the libraries' headers need not be fetched again
        source = Path(changed.path).parent.parent / name
        if source.exists():
            (tmp_path / name).symlink_to(source)
    fresh, _ = ensure_index(source=tree)
    assert int(fresh.meta["parsed"]) == fresh.counts()["files"]
    before, after = rows(changed), rows(fresh)
    assert {name: before[name] ^ after[name] for name in before} == {name: set() for name in before}


def test_a_file_that_goes_takes_no_other_s_facts_along(tree: Path) -> None:
    before = rows(ensure_index(source=tree)[0])
    path = tree / "hw" / "net" / "can" / "can_kvaser_pci.c"
    meson, kept = tree / "hw/net/can/meson.build", path.read_text()
    path.unlink()
    try:
        after = rows(ensure_index(source=tree)[0])
    finally:
        path.write_text(kept)
    assert meson.exists()
    gone = set(before["functions"] - after["functions"])
    assert gone and all(row[2] == "hw/net/can/can_kvaser_pci.c" for row in gone)


def test_a_build_s_flags_are_used_and_what_it_leaves_out_is_said(tree: Path, tmp_path: Path) -> None:
    opened = open_tree(tree)
    flags = prepare(opened, None, SILENT).flags[COMMON]
    entries = [
        {"directory": str(tree), "file": name, "arguments": ["cc", *flags, f"-D{NEW}", "-c", name]}
        for name in ("net/net.c", "net/tap.c")
    ]
    (tmp_path / "compile_commands.json").write_text(json.dumps(entries))
    index, made = ensure_index(source=tree, build=tmp_path)
    assert made and str(tmp_path) in index.meta["configuration"]
    assert index.meta["parsed"] == "2" and "files that the build leaves out" in index.meta["missing"]
    assert not ensure_index(source=tree, build=tmp_path)[1]
    assert not ensure_index(source=tree)[1]  # the other one is still in place


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"file": "x.c"}]', "[]"])
def test_what_is_no_compilation_database_is_refused(tree: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "compile_commands.json").write_text(text)
    with pytest.raises(SourceError, match=r"compile_commands\.json"):
        ensure_index(source=tree, build=tmp_path)


def test_a_size_that_stays_hides_no_change(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    inputs = Inputs(tmp_path, tmp_path / "none")
    before = [inputs.get("a")]
    assert Inputs(tmp_path, tmp_path / "none").same(before)
    (tmp_path / "a").write_text("two")
    assert not Inputs(tmp_path, tmp_path / "none").same(before)
    (tmp_path / "a").unlink()
    assert not Inputs(tmp_path, tmp_path / "none").same(before)


def unit(file: str, *relied: str) -> Facts:
    """Facts of a file that includes one header and relies on others for it."""
    return Facts(file, "common", includes=["net/a.h"], relied=[("net/a.h", owner) for owner in relied])


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        ([unit("x"), unit("y", "x"), unit("z", "y")], []),
        ([unit("x", "y"), unit("y", "x")], ["x", "y"]),  # kept at two times, each left it to the other
        ([unit("x", "y"), unit("y", "z"), unit("z", "x"), unit("w")], ["x", "y", "z"]),
        ([unit("x"), unit("y", "gone")], ["y"]),
        ([unit("x", "gone"), unit("y", "x"), unit("w")], ["x", "y"]),
        ([Facts("x", "common"), unit("y", "x")], ["y"]),  # it has ceased to include the header
    ],
)
def test_nobody_leaves_a_header_to_somebody_who_has_not_got_it(
    units: list[Facts], expected: list[str]
) -> None:
    assert incomplete({facts.file: facts for facts in units}) == expected


def test_facts_kept_at_different_times_do_not_leave_a_header_to_each_other(tree: Path, edit: Edit) -> None:
    """Every mixture of two states of two files that share headers is what a fresh index of it is."""
    first, second = "hw/net/ne2000.c", "hw/net/ne2000-pci.c"
    marks = {first: "", second: ""}
    seen = {}
    for step, file in enumerate((first, second, first, second)):
        path, old = tree / file, marks[file]
        text = path.read_text().removesuffix(old)
        marks[file] = "" if old else f"\nint {NEW}_{step}(void);\n"
        path.write_text(text + marks[file])
        index, _ = ensure_index(source=tree)
        seen[tuple(marks.values())] = index.counts()
    assert len({tuple(sorted(counts.items())) for counts in seen.values()}) == 1, seen
