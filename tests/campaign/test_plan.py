"""Plans: what comes with qtrace is sound, what people write is checked key by key."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from re import fullmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtrace.campaign.plan import PlanError, load_plan, plan_names, stored_plan
from qtrace.model import Cell, Direction, Setting

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
        f"cpu_hertz = 99\ncopies = true\n{MINIMAL}",
        MINIMAL + 'directions = ["rx"]\nworkloads = ["tcp", "crr"]\n',
        MINIMAL
        + 'mtu = [576, 1500]\nqemu = ["7.2", "10.0", "mine"]\n[qemu]\n"10.0" = "trixie"\nmine = "/x/q"\n',
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
        (MINIMAL + "[seconds]\ntelnet = 1\n", "unknown key 'telnet'"),
        (MINIMAL + "mtu = 68\n", "'mtu' must be whole numbers from 576 to 9000"),
        (MINIMAL + "mtu = [1500, true]\n", "'mtu' must be"),
        (MINIMAL + "mtu = 1500.5\n", "'mtu' must be"),
        (MINIMAL + "loss = 100\n", "'loss' must be numbers from 0.001 to 50"),
        (MINIMAL + "rtt = nan\n", "'rtt' must be numbers"),
        (MINIMAL + 'peer = "moon"\n', "'peer' must be of: host, neighbour, guest"),
        (MINIMAL + "offloads = false\n", "'offloads' must be of: on, off"),
        (MINIMAL + 'qemu = "mine"\n', "'mine' is no release of QEMU: say in .qemu. where"),
        (MINIMAL + "qemu = 7.2\n", "7.2 cannot be the name of a QEMU"),
        (MINIMAL + 'qemu = ["7.2", "a+b"]\n', "'a.b' cannot be the name of a QEMU"),
        (MINIMAL + '[qemu]\n"10.0" = "../qemu"\n', "qemu.10.0 must be the whole path of a program, or a rel"),
        ('qemu = "7.2"\n' + MINIMAL, "'qemu' must be a table"),
        ("cpu_hertz = 1001\n" + MINIMAL, "'cpu_hertz' must be a whole number from 0 to 1000"),
        ("probes = 0\n" + MINIMAL, "'probes' must be true or false"),
        ("copies = 1\n" + MINIMAL, "'copies' must be true or false"),
        ("guests = -1\n" + MINIMAL, "'guests' must be a whole number"),
        (MINIMAL.replace('"tap"', '["tap", 7]'), "cannot be the name"),
        (MINIMAL.replace('"tap"', "[]"), "'netdev' must be a text"),
        (MINIMAL.replace("e1000", "e2000"), "none of its cells can be: .*no driver for the NIC e2000"),
        (MINIMAL + f"size = {list(range(16, 20_016))}\n", "cells are more than 20000"),
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


SWITCHED = """
name = "switched"
probes = false
[baseline]
netdev = "vhost-user"
[[cells]]
nic = ["virtio-net-pci", "e1000"]
netdev = ["tap", "vhost-user"]
directions = ["tx"]
workloads = ["tcp"]
mtu = [1500, 9000]
[[cells]]
nic = "virtio-net-pci"
netdev = "vhost-user"
datapath = ["qemu", "vhost-net"]
directions = ["rx"]
workloads = ["tcp"]
"""


def test_the_datapath_of_vhost_user_goes_without_saying(tmp_path: Path) -> None:
    plan = load_plan(written(tmp_path, SWITCHED))
    assert {(cell.nic, cell.netdev, cell.datapath) for cell in plan.cells} == {
        ("virtio-net-pci", "tap", "qemu"),
        ("virtio-net-pci", "vhost-user", "vhost-user"),
        ("e1000", "tap", "qemu"),
    }
    assert plan.baseline == {"netdev": "vhost-user", "datapath": "vhost-user"}
    assert Counter(one.reason for one in plan.left_out) == {
        "vhost-user needs a virtio NIC": 2,
        "the switch of the lab has buffers of 2048 bytes": 1,
        "the netdev vhost-user has the datapath vhost-user, and no other has it": 1,
        "vhost-net needs a virtio NIC on a tap": 1,
    }
    assert stored_plan(plan.to_json(), "run.json") == plan


LISTS = """
name = "lists"
guests = 3
probes = false
[[cells]]
nic = ["e1000", "pcnet", "virtio-net-pci"]
netdev = ["tap", "user"]
datapath = ["qemu", "vhost-net"]
directions = ["tx"]
workloads = ["tcp", "rr"]
mtu = [576, 1500, 9000]
size = [64, 1024]
streams = [1, 4]
queues = [1, 2]
rtt = [0, 10]
loss = [0, 0.5]
offloads = ["on", "off"]
peer = ["host", "neighbour"]
"""


def written(folder: Path, text: str) -> str:
    (folder / "plan.toml").write_text(text)
    return str(folder / "plan.toml")


def test_lists_make_every_combination_and_what_cannot_be_is_left_out_with_its_reason(tmp_path: Path) -> None:
    plan = load_plan(written(tmp_path, LISTS))
    assert len(plan.cells) + len(plan.left_out) == 3 * 2 * 2 * 2 * 3 * 2**7
    reasons = Counter(one.reason for one in plan.left_out)
    settings = 3 * 2**7  # of one NIC on one back end with one workload
    # user and the two NICs that are no virtio, in both workloads.
    assert reasons["vhost-net needs a virtio NIC on a tap"] == 2 * settings * (3 * 2 - 1)
    # rr, half of whose settings have four streams, on what is left: three taps, three users, a tap with
    # vhost.
    assert reasons["the workload rr has no streams that could be chosen"] == 7 * settings // 2
    # tcp and the half of rr that is left; a third has 9000 bytes.
    assert reasons["libslirp's own end has an MTU of 1500"] == 3 * settings * 3 // 2 // 3
    assert reasons["pcnet takes an MTU of at most 1500"] == settings * 3 // 2 // 3
    kept = {cell.id for cell in plan.cells}
    assert "virtio-net-pci+tap+vhost-net+tx+tcp+mtu-9000+size-64+streams-4+queues-2+rtt-10+loss-0.5" in kept
    assert "e1000+tap+qemu+both+rr+mtu-576+size-1024+offloads-off+peer-neighbour" in kept
    assert not kept & {one.cell for one in plan.left_out}
    assert all("queues" not in cell.id or cell.netdev == "tap" for cell in plan.cells)
    assert stored_plan(json.loads(json.dumps(plan.to_json())), "run.json") == plan


def test_a_setting_makes_a_block_of_its_own(tmp_path: Path) -> None:
    plan = load_plan(
        written(tmp_path, MINIMAL + 'directions = ["tx"]\nworkloads = ["tcp"]\nstreams = [1, 4]\n')
    )
    assert [block.id for block in plan.blocks] == ["e1000+tx+tcp", "e1000+tx+tcp+streams-4"]


def test_a_block_has_one_qemu_and_all_of_a_nic_are_taken_in_turns(tmp_path: Path) -> None:
    lists = 'nic = ["e1000", "pcnet"]\nnetdev = ["tap", "user"]\nworkloads = ["rr"]\nqemu = ["7.2", "10.0"]\n'
    plan = load_plan(written(tmp_path, f'name = "x"\nguests = 4\n[[cells]]\n{lists}'))
    blocks = [f"{nic}+both+rr+qemu-{qemu}" for nic in ("e1000", "pcnet") for qemu in ("7.2", "10.0")]
    assert [block.id for block in plan.blocks] == blocks
    for block in plan.blocks:
        assert len({cell.setting.qemu for cell in block.cells}) == 1
        assert block.baseline and block.baseline.setting.qemu == block.cells[0].setting.qemu
    # Two guests of each QEMU: a NIC's stay together, as releases are compared in turns.
    assert plan.groups() == (tuple(blocks[:2]), tuple(blocks[2:]))
    for rep in (1, 2, 3):
        taken = {job.cell.setting.qemu for job in plan.jobs(blocks[:2]) if job.rep == rep}
        assert taken == {"7.2", "10.0"}


NICS = """
nic = ["e1000", "pcnet", "rtl8139", "virtio-net-pci"]
netdev = ["tap", "user", "vde"]
size = [64, 99]
"""


def test_a_group_has_as_many_guests_as_the_plan_allows_and_a_nic_stays_whole(tmp_path: Path) -> None:
    plan = load_plan(written(tmp_path, f'name = "x"\nguests = 7\nprobes = false\n[[cells]]\n{NICS}'))
    groups = plan.groups()
    assert [[*dict.fromkeys(block.partition("+")[0] for block in group)] for group in groups] == [
        ["e1000", "pcnet"],
        ["rtl8139", "virtio-net-pci"],
    ]
    assert [name for group in groups for name in group] == [block.id for block in plan.blocks]
    assert plan.groups(groups[1][:1]) == (groups[1][:1],)
    jobs = plan.jobs(groups[0])
    again = {block.again.id for block in plan.chosen(groups[0]) if block.again}
    assert {job.cell.id for job in jobs} - again == {
        cell.id for cell in plan.cells if cell.nic in ("e1000", "pcnet")
    }
    assert not any(job.probed for job in jobs)
    alone = load_plan(written(tmp_path, f'name = "x"\nguests = 1\n[[cells]]\n{NICS}'))
    assert len(alone.groups()) == 4  # three guests each: ratios need them
    whole = load_plan(written(tmp_path, f'name = "x"\n[[cells]]\n{NICS}'))
    assert whole.groups() == (tuple(block.id for block in whole.blocks),)


@given(
    st.builds(
        Setting,
        *(st.sampled_from([0, 576, 9000]), st.integers(16, 65000), st.integers(1000, 10**12)),
        *(st.integers(1, 64), st.integers(1, 8)),
        *(st.sampled_from([0.0, 0.1, 2.5, 1000.0]), st.sampled_from([0.0, 0.001, 12.5])),
        *(st.sampled_from(["on", "off"]), st.sampled_from(["host", "neighbour", "guest"])),
    )
)
def test_the_words_of_a_setting_are_the_setting(setting: Setting) -> None:
    assert Setting.of_words(setting.words) == setting
    name = Cell("e1000", "socket.udp", "qemu", None, "rr", setting).id
    assert fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", name)
    assert Setting.of_words(Cell("e1000", "tap", "qemu", None, "rr").id.split("+")[5:]) == Setting()


@pytest.mark.parametrize("word", ["mtu", "mtu-x", "warp-9", "", "mtu-576+mtu-576"])
def test_a_word_that_is_no_axis_is_no_setting(word: str) -> None:
    with pytest.raises(ValueError):
        Setting.of_words(word.split("+"))


def test_two_releases_asks_both_qemus_the_same() -> None:
    plan = load_plan("two-releases")
    asked = {
        release: {
            replace(cell, setting=replace(cell.setting, qemu=""))
            for cell in plan.cells
            if cell.setting.qemu == release
        }
        for release in ("7.2", "10.0")
    }
    assert asked["7.2"] == asked["10.0"] and not plan.left_out
    pairs = {(cell.nic, cell.netdev) for cell in asked["7.2"]}
    assert pairs == {(nic, netdev) for nic in ("virtio-net-pci", "e1000") for netdev in ("tap", "user")}
    assert plan.cpu_hertz


def test_the_matrix_has_what_its_report_promises() -> None:
    plan = load_plan("matrix")
    usual = [cell for cell in plan.cells if cell.datapath == "qemu"]
    pairs = {(cell.nic, cell.netdev) for cell in usual}
    for nic in {nic for nic, _ in pairs}:
        assert len({netdev for name, netdev in pairs if name == nic}) >= 8
    assert len({nic for nic, _ in pairs}) >= 8 and {cell.workload for cell in usual} == {"tcp", "rr", "udp"}
    assert not plan.left_out and len(plan.groups()) == 4 and plan.guests_at_once() == 19
    # On a quiet machine a guest takes 6 s to come up, one on each of two processors; a measurement half a
    # second besides its traffic.
    guests = len({(cell.nic, cell.netdev, cell.datapath) for cell in usual})
    traffic = sum(
        plan.seconds[job.cell.workload] + 0.5 for job in plan.jobs() if job.cell in usual or job.cell.again
    )
    assert traffic + guests * 6 / 2 < 30 * 60
