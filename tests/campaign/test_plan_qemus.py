"""The QEMUs of a plan: found where they are, and where one is not, its cells are left out with the reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qtrace.binary.file.version import qemu_version
from qtrace.campaign.brief import Brief, make_brief
from qtrace.campaign.plan import Plan, load_plan
from qtrace.campaign.plan_qemus import PlanQemu, absent_cells, find_qemus
from qtrace.errors import MissingPrerequisite
from qtrace.lab.guest.guest import find_qemu
from qtrace.lab.guest.qemu_program import QemuProgram
from qtrace.model import Cell, Direction, path_from_json
from qtrace.progress import SILENT
from qtrace.store.index import Index

installed_qemu = pytest.mark.needs("qemu-system-x86_64")


def plan_of(folder: Path, qemu: str, more: str = "", probes: bool = True) -> Plan:
    (folder / "plan.toml").write_text(
        f'name = "x"\nprobes = {str(probes).lower()}\n[[cells]]\nnic = "e1000"\nnetdev = "tap"\n'
        f'workloads = ["rr"]\nqemu = ["{qemu}"]\n{more}'
    )
    return load_plan(str(folder / "plan.toml"))


def reason(plan: Plan) -> str:
    """Why its one cell is left out."""
    found = find_qemus(plan, (), "", SILENT)
    assert not found.programs and not found.indexes
    ((cell, why),) = [(one.cell, one.reason) for one in found.left_out]
    assert cell == plan.cells[0].id
    return why


@installed_qemu
def test_a_release_that_is_not_installed_says_how_to_name_it(tmp_path: Path) -> None:
    release = qemu_version(find_qemu()).split()[0]
    said = reason(plan_of(tmp_path, "99.1"))
    assert said.startswith(
        f"QEMU 99.1 is not here: installed is QEMU {release} (say in the plan where it is:"
    )


def test_a_block_by_its_id_is_refused_where_its_qemu_is_not(tmp_path: Path) -> None:
    """And not done with all its cells left out: another machine may have that QEMU."""
    plan = plan_of(tmp_path, "99.1", f'[qemu]\n"99.1" = "{tmp_path}/none"\n')
    with pytest.raises(MissingPrerequisite, match=r"QEMU 99\.1 is not here: there is no program"):
        find_qemus(plan, [plan.blocks[0].id], "", SILENT)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "99.1", f'[qemu]\n"99.1" = "{tmp_path}/none"\n')
    assert reason(plan) == f"QEMU 99.1 is not here: there is no program {tmp_path}/none"
    (tmp_path / "none").write_bytes(b"#!/bin/sh\n")
    assert "none" in reason(plan)  # it is no QEMU, and is not run to find out


@installed_qemu
def test_a_program_of_another_release_is_not_taken_for_it(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "99.1", f'[qemu]\n"99.1" = "{find_qemu()}"\n')
    release = qemu_version(find_qemu()).split()[0]
    assert f"QEMU 99.1 is not here: {find_qemu()} has QEMU {release}" in reason(plan)


@installed_qemu
def test_without_its_index_the_command_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QTRACE_CACHE", str(tmp_path / "cache"))
    plan = plan_of(tmp_path, "mine", f'[qemu]\nmine = "{find_qemu()}"\n')
    release = qemu_version(find_qemu()).split()[0]
    assert reason(plan) == f"there is no source index of QEMU {release} (run: qtrace index --source TREE)"
    # What is measured without probes needs none.
    found = find_qemus(replace(plan, probes=False), (), "", SILENT)
    assert found.programs["mine"].release == release and not found.left_out and not found.indexes


def test_what_a_release_lacks_is_left_out(earlier: Index) -> None:
    cells = [
        Cell(nic, netdev, "qemu", None, "rr")
        for nic, netdev in (("e1000", "tap"), ("igb", "tap"), ("e1000", "passt"), ("e1000", "hubport.user"))
    ]
    release = earlier.meta["qemu"]
    assert [(one.cell, one.reason) for one in absent_cells(cells, earlier)] == [
        ("igb+tap+qemu+both+rr", f"QEMU {release} has no NIC 'igb'"),
        ("e1000+passt+qemu+both+rr", f"QEMU {release} has no netdev 'passt'"),
    ]


def test_each_cell_has_the_paths_of_its_own_qemu(index: Index, tmp_path: Path) -> None:
    first = Cell("e1000", "user", "qemu", Direction.TX, "tcp")
    second = replace(first, setting=replace(first.setting, qemu="mine"))
    brief = make_brief([first, second], {"": index, "mine": index}, "", ())
    program = PlanQemu(QemuProgram(tmp_path / "root/usr/bin/qemu", tmp_path / "root"), "9.9.9 (of ours)")
    brief = replace(brief, qemus={"mine": program})
    brief.save(tmp_path / "brief")
    loaded = Brief.load(tmp_path / "brief")
    assert loaded == brief and loaded.qemus["mine"].release == "9.9.9"
    assert [path.qemu for path in loaded.paths([first, second])] == ["", "", "mine", "mine"]
    own, other = loaded.paths_of(first), loaded.paths_of(second)
    assert [replace(path, qemu="") for path in other] == own
    assert "qemu" not in own[0].to_json() and path_from_json(other[0].to_json()) == other[0]


def test_a_program_in_a_root_is_entered_by_root_and_seen_from_inside(tmp_path: Path) -> None:
    inside = QemuProgram(tmp_path / "usr/bin/qemu-system-x86_64", tmp_path)
    assert inside.inside == Path("/usr/bin/qemu-system-x86_64")
    argv = inside.argv(["setpriv", "--", "x"])
    assert argv[:2] == ["unshare", "--mount"] and argv[-3:] == ["setpriv", "--", "x"]
    plain = QemuProgram(tmp_path / "qemu")
    assert plain.argv(["x"]) == ["x"] and plain.inside == tmp_path / "qemu"
    (tmp_path / "packages").write_text("zlib1g_1_1.3-1\nlibslirp0_4.8.0-1+b1\n")
    assert inside.package_version("libslirp0") == "4.8.0-1+b1"
    assert inside.package_version("zlib1g") == "1:1.3-1"
