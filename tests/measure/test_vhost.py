"""vhost is proved, not assumed: with it on the kernel counts every frame and QEMU none, and the reverse; with
vhost-user neither does, and every frame passes."""

from __future__ import annotations

import json
import sys
from bisect import bisect
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from qtrace.campaign.brief import make_brief
from qtrace.lab.guest.guest_image import ensure_image
from qtrace.lab.guest.kernel import ensure_kernel
from qtrace.lab.machine.machine import LabMachine
from qtrace.model import VHOST_USER, Cell
from qtrace.store.index import Index
from qtrace.trace.bpf.prerequisites import ensure_headers

pytestmark = [pytest.mark.long, pytest.mark.needs("qemu-system-x86_64", "busybox", "setpriv", "bcc")]

DRIVER = Path(__file__).with_name("vhost_driver.py")
FRAMES = 1009
IN_KERNEL = {"kprobe"}
UNCOUNTED = {"kick", "interrupt"}


@pytest.fixture(scope="module")
def answer(index: Index, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    kernel = ensure_kernel()
    ensure_image(kernel)
    ensure_headers(release=kernel.release)
    brief = tmp_path_factory.mktemp("vhost") / "brief.json"
    back_ends = (("tap", "vhost-net"), ("tap.macvtap", "vhost-net"), (VHOST_USER, VHOST_USER))
    cells = [Cell("virtio-net-pci", *back_end, None, "rr") for back_end in back_ends]
    make_brief(cells, {"": index}, "", ()).save(brief)
    said: dict[str, bytes] = {"stdout": b"", "stderr": b""}

    def hear(stream: str, data: bytes) -> None:
        said[stream] += data

    with LabMachine(share=[brief.parent], kernel=kernel) as machine:
        status = machine.run(
            ["env", f"PYTHONPATH={DRIVER.parents[1]}", sys.executable, str(DRIVER), str(brief)],
            on_output=hear,
            timeout=480,
        )
    assert status == 0, said["stderr"].decode()[-3000:]
    result: dict[str, Any] = json.loads(said["stdout"])
    return result


@pytest.mark.parametrize("way", ["tx", "rx"])
@pytest.mark.parametrize("back_end", ["vhost-net", "qemu", "macvtap"])
def test_one_side_counts_every_frame_and_the_other_none(
    answer: dict[str, Any], back_end: str, way: str
) -> None:
    """On a macvtap the worker calls other functions of the kernel (drivers/net/tap.c)."""
    window = answer[back_end]["windows"][way]
    assert window["sent"] == FRAMES
    assert window["moved"]["guest"][f"{way}_packets"] == FRAMES
    carried = {True: [], False: []}  # type: dict[bool, list[dict[str, Any]]]
    for row in window["stages"]:
        assert row["attached"], row
        if row["direction"] == way and row["stage"] not in UNCOUNTED:
            carried[(row["how"] in IN_KERNEL) == (back_end != "qemu")].append(row)
    assert {row["frames"] for row in carried[True]} == {FRAMES}
    assert {(row["calls"], row["frames"]) for row in carried[False]} == {(0, 0)}
    assert {"deliver"} <= {row["stage"] for row in carried[True]}
    assert {"deliver"} <= {row["stage"] for row in carried[False]}


@pytest.mark.needs("dpdk-testpmd")
@pytest.mark.parametrize("way", ["tx", "rx"])
def test_qemu_counts_no_frame_that_vhost_user_s_switch_carries(answer: dict[str, Any], way: str) -> None:
    window = answer[VHOST_USER]["windows"][way]
    assert window["sent"] == FRAMES
    assert window["moved"]["guest"][f"{way}_packets"] == FRAMES
    assert window["moved"]["tap"]["rx_packets" if way == "tx" else "tx_packets"] == FRAMES
    watched = [row for row in window["stages"] if row["attached"]]
    assert {"dequeue", "deliver"} <= {row["stage"] for row in watched if row["direction"] == "tx"}
    assert {"deliver", "enqueue"} <= {row["stage"] for row in watched if row["direction"] == "rx"}
    assert {(row["calls"], row["frames"]) for row in watched} == {(0, 0)}
    assert answer[VHOST_USER]["worker"] is None


@pytest.mark.needs("dpdk-testpmd")
def test_a_paused_switch_takes_no_processor_and_loses_nothing(answer: dict[str, Any]) -> None:
    assert answer["paused"] == {"sending": True, "through": 0, "ticks": 0, "passed": 17}


def test_the_guest_s_interrupts_are_counted(answer: dict[str, Any]) -> None:
    """Whatever this kernel calls the function that sends them; one may stand for many frames."""
    for way in ("tx", "rx"):
        (row,) = [
            row
            for row in answer["vhost-net"]["windows"][way]["stages"]
            if (row["direction"], row["stage"], row["how"]) == (way, "interrupt", "kprobe")
        ]
        assert 0 < row["calls"] <= FRAMES, row


def test_the_worker_is_there_exactly_with_vhost(answer: dict[str, Any]) -> None:
    assert answer["vhost-net"]["worker"] and answer["qemu"]["worker"] is None
    threads = [row["thread"] for row in answer["vhost-net"]["windows"]["tx"]["threads"]]
    assert any(name.startswith("vhost-") for name in threads)


def test_nothing_was_lost(answer: dict[str, Any]) -> None:
    for datapath in ("vhost-net", "qemu"):
        for window in answer[datapath]["windows"].values():
            assert not [row for row in window["ledger"] if row["kind"] in ("lost", "missed", "unattached")]


def test_a_function_that_the_kernel_does_not_have_is_probed_by_another_name(answer: dict[str, Any]) -> None:
    """As its interrupt is since Linux 6.8, where eventfd_signal is inline."""
    found, missing = answer["instead"]
    assert found == ""
    assert (
        missing == "the kernel cannot put a probe on the kernel's qtrace_has_none: No such file or directory"
    )


def test_vhost_s_probes_are_kept_within_the_budget_too(answer: dict[str, Any]) -> None:
    limited = answer["limited"]
    assert limited["pauses"] >= 1 and limited["hits"] > 0
    assert 0 < limited["on"] < 10 * FRAMES and limited["off"] == 0


def test_each_worker_s_frames_are_its_queue_s(answer: dict[str, Any]) -> None:
    queues = answer["queues"]
    assert queues["workers"] == 3
    expected = {(name, queue): frames for name, queue, frames in queues["sent"]}
    assert sorted(expected.values()) == [17, 31, 47]
    for stage in ("deliver", "complete"):
        counted = {
            (row["netdev_id"], row["queue"]): row["frames"]
            for row in queues["queues"]
            if (row["direction"], row["stage"]) == ("tx", stage)
        }
        assert counted == expected


@pytest.mark.parametrize("way", ["tx", "rx"])
@pytest.mark.parametrize("datapath", ["vhost-net", "qemu"])
def test_frames_are_followed_where_they_are_carried(answer: dict[str, Any], datapath: str, way: str) -> None:
    """A worker gives back all frames that it has passed on since the last time: each is matched."""
    rows = [row for row in answer[datapath]["windows"][way]["frames"] if row["direction"] == way]
    carried = "kernel" if datapath == "vhost-net" else "qemu"
    assert carried in {row["carried"] for row in rows}
    for row in rows:
        expected = FRAMES if row["carried"] == carried else 0
        assert row["frames"] == row["matched"] + row["ambiguous"] == expected, row
        assert row["matched"] >= (0.99 * expected if carried == "kernel" else 0), row
        assert not row["unmatched"], row


def test_a_frame_in_a_batch_is_matched_with_itself(answer: dict[str, Any]) -> None:
    """Each frame to the guest has a length of its own, which the test's own probes read where the worker
    takes a frame and where it gives buffers back. A frame must end with the call that gives its length."""
    marked = answer["marked"]
    assert marked["sent"] == FRAMES
    row = next(
        row
        for row in marked["frames"]
        if (row["direction"], row["netdev_id"], row["carried"]) == ("rx", "net0", "kernel")
    )
    assert row["matched"] >= 0.99 * row["frames"] >= 0.99 * FRAMES
    # What is sent is given back with a length of 0.
    given = [call for call in marked["calls"] if call["given"] and any(call["lengths"])]
    assert sum(len(call["lengths"]) > 1 for call in given) >= 5, "there were no batches"
    call_of = {length: at for at, call in enumerate(given) for length in call["lengths"]}
    taken = Counter(call["lengths"][0] for call in marked["calls"] if not call["given"])
    once = {length for length, number in taken.items() if number == 1 and length in call_of}
    assert len(once) >= 0.99 * FRAMES
    ends = {hit["frame"]: hit["when"] for hit in marked["hits"] if hit["stage"] == "enqueue"}
    checked = {
        hit["size"]: ends[hit["frame"]]
        for hit in marked["hits"]
        if hit["stage"] == "deliver" and hit["size"] in once and hit["frame"] in ends
    }
    assert len(checked) >= 0.99 * FRAMES
    # Both programs run at the same call, always in the same order, however long a busy host holds the second
    # up: it is the last call that the test has seen before each end, or for each end the first one after it.
    times = [call["when"] for call in given]
    last = {size: bisect(times, when) - 1 for size, when in checked.items()}
    expected = {size: call_of[size] for size in checked}
    assert expected in (last, {size: at + 1 for size, at in last.items()})
