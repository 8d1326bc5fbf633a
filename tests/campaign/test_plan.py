"""Plans: what comes with qtrace is sound, what people write is checked key by key."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from qtrace.campaign.plan import PlanError, load_plan, plan_names, stored_plan
from qtrace.model import Direction

MINIMAL = 'name = "x"\n[[cells]]\nnic = "e1000"\nnetdev = "tap"\n'


@pytest.mark.parametrize("name", plan_names())
def test_every_plan_that_comes_with_qtrace_loads(name: str) -> None:
    assert load_plan(name).name == name


def test_quick_covers_what_the_report_promises() -> None:
    plan = load_plan("quick")
    pairs = {(cell.nic, cell.netdev, cell.datapath) for cell in plan.cells}
    virtio = {("virtio-net-pci", *rest) for rest in (("user", "qemu"), ("tap", "qemu"), ("tap", "vhost-net"))}
    assert pairs == virtio | {("e1000", "user", "qemu"), ("e1000", "tap", "qemu")}
    assert plan.repetitions >= 3
    for pair in pairs:
        mine = [cell for cell in plan.cells if (cell.nic, cell.netdev, cell.datapath) == pair]
        assert {cell.direction for cell in mine} == {Direction.TX, Direction.RX, None}


def test_jobs_are_shuffled_the_same_way_every_time_and_paired() -> None:
    plan = load_plan("quick")
    jobs = plan.jobs()
    assert jobs == plan.jobs()
    assert [job.order for job in jobs] == list(range(len(jobs)))
    counts = Counter((job.cell, job.rep, job.probed) for job in jobs)
    assert set(counts.values()) == {1}
    again = [job for job in jobs if job.cell.again]
    assert len(jobs) - len(again) == len(plan.cells) * plan.repetitions * 2
    paired = [job for job in jobs if not job.cell.again]
    for plain, probed in zip(paired[::2], paired[1::2], strict=True):
        assert (plain.cell, plain.rep) == (probed.cell, probed.rep)
        assert plain.probed != probed.probed and abs(plain.order - probed.order) == 1
    assert [job.cell for job in paired[::2]][: len(plan.cells)] != list(plan.cells)


def test_every_block_measures_its_baseline_twice_in_every_round() -> None:
    plan = load_plan("quick")
    for block in plan.blocks:
        base, again = block.baseline, block.again
        assert base in block.cells and again and again.id == f"{base.id}+again"
        for rep in range(1, plan.repetitions + 1):
            mine = [job for job in plan.jobs([block.id]) if job.rep == rep and not job.probed]
            assert [job.cell for job in mine].count(base) == [job.cell for job in mine].count(again) == 1


def test_blocks_share_the_cells_out_and_each_has_its_baseline() -> None:
    plan = load_plan("quick")
    assert [block.id for block in plan.blocks] == [
        *("virtio-net-pci+tx+tcp", "virtio-net-pci+rx+tcp", "virtio-net-pci+both+rr"),
        *("e1000+tx+tcp", "e1000+rx+tcp", "e1000+both+rr"),
    ]
    assert [len(block.cells) for block in plan.blocks] == [3, 3, 3, 2, 2, 2]
    assert sorted(cell.id for block in plan.blocks for cell in block.cells) == sorted(
        cell.id for cell in plan.cells
    )
    baseline = (plan.baseline["netdev"], plan.baseline["datapath"])
    for block in plan.blocks:
        assert baseline in {(cell.netdev, cell.datapath) for cell in block.cells}
        assert {job.cell for job in plan.jobs([block.id])} == {*block.cells, block.again}


@pytest.mark.parametrize(
    "text",
    [
        MINIMAL,
        f"precision = 0.05\nat_most = 40\n{MINIMAL}",
        MINIMAL + 'directions = ["rx"]\nworkloads = ["tcp", "crr"]\n',
    ],
)
def test_a_plan_comes_back_from_the_run_that_stores_it(text: str, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(text)
    plan = load_plan(str(tmp_path / "plan.toml"))
    assert stored_plan(json.loads(json.dumps(plan.to_json())), "run.json") == plan
    with pytest.raises(PlanError, match="'nonsense' is no cell"):
        stored_plan(plan.to_json() | {"cells": ["nonsense"]}, "run.json")
    with pytest.raises(PlanError, match="no list of cells"):
        stored_plan({"cells": 7}, "run.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "not TOML"),
        ('name = "x"', "at least one"),
        (MINIMAL + 'netdevs = "y"\n', "unknown key 'netdevs'"),
        (MINIMAL + 'datapath = "warp"\n', "unknown datapath 'warp'"),
        (MINIMAL + 'directions = ["up"]\n', "'directions' must be a list"),
        ("repetitions = 0\n" + MINIMAL, "'repetitions' must be"),
        ("repetitions = true\n" + MINIMAL, "'repetitions' must be"),
        ("precision = 0\n" + MINIMAL, "'precision' must be a number from 0.001 to 0.5"),
        ("precision = nan\n" + MINIMAL, "'precision' must be a number"),
        ('precision = "5 %"\n' + MINIMAL, "'precision' must be a number"),
        ("precision = 0.05\nat_most = 0\n" + MINIMAL, "'at_most' must be a number from 1 to 3600"),
        ("at_most = 60\n" + MINIMAL, "'at_most' is the time for reaching a 'precision'"),
        (MINIMAL + '[[cells]]\nnic = "e1000"\nnetdev = "tap"\n', "stands twice"),
        (MINIMAL.replace("tap", "tap,script=/bin/sh"), "cannot be the name"),
        (MINIMAL + "[seconds]\ntcp = 0\n", "seconds.tcp"),
        (MINIMAL + "[seconds]\ntcp = inf\n", "seconds.tcp must be a whole number"),
        (MINIMAL + "[seconds]\ntcp = 2.5\n", "seconds.tcp must be a whole number"),
        (MINIMAL + f"[seconds]\ntcp = 1{'0' * 400}\n", "seconds.tcp must be a whole number"),
        (MINIMAL.replace("e1000", "_x"), "cannot be the name"),
        (MINIMAL.replace("e1000", "é1"), "cannot be the name"),
        (MINIMAL.replace('"x"', '"../x"'), "cannot be a plan's name"),
        (MINIMAL.replace('"x"', '"my plan"'), "cannot be a plan's name"),
        (MINIMAL + "[seconds]\nrr = 1\n", "seconds.rr must be a whole number from 2"),
        (MINIMAL + "[seconds]\nudp = 1\n", "unknown key 'udp'"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(PlanError, match=said):
        load_plan(str(path))


def test_a_plan_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(PlanError, match="cannot read the plan") as caught:
        load_plan("no-such-plan.toml")
    assert "quick" in caught.value.hint
