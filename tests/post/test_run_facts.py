"""A run's facts are the run's: each is computed again from its tables."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from qtrace.errors import PostError, StoreError
from qtrace.post.fact_book import FactBook
from qtrace.post.run_facts import NAMES, RunFacts
from qtrace.report.text import bits, count
from qtrace.store.run import RunReader, RunWriter

RUN = Path(__file__).parent.parent / "store" / "runs" / "format-2" / "measured"


@pytest.fixture(scope="module")
def run() -> RunReader:
    return RunReader.open(RUN)


def test_speed_is_the_mean_of_the_repetitions(run: RunReader) -> None:
    book = FactBook()
    RunFacts(run, book)
    results = run.table("results").to_pandas()
    plain = results[(results["metric"] == "throughput") & ~results["probed"].astype(bool)]
    plain = plain[(plain["status"] == "ok") & (plain["nic"] == "virtio-net-pci")]
    seen = 0
    for (netdev, datapath, way), part in plain.groupby(["netdev", "datapath", "direction"]):
        name = f"speed.{way}.{NAMES[netdev, datapath]}"
        assert book.use(name) == bits(float(part["value"].mean()))
        seen += 1
    assert seen and len([fact for fact in book.used if fact.kind == "run"]) == seen


def test_frames_are_the_sums_of_the_stage_where_they_are_delivered(run: RunReader) -> None:
    book = FactBook()
    RunFacts(run, book)
    stages = run.table("stages").to_pandas()
    mine = stages[stages["cell"] == "virtio-net-pci+tap+qemu+tx+tcp"]
    mine = mine[(mine["stage"] == "deliver") & (mine["direction"] == "tx") & mine["attached"].astype(bool)]
    assert len(mine) and book.use("frames.tx.tap") == count(int(mine["frames"].sum()))


def test_a_claim_needs_the_whole_interval(run: RunReader) -> None:
    book = FactBook()
    facts = RunFacts(run, book)
    assert facts.verdict("speed.tx.nobody") == "open"
    for low, high, said in (
        (0.2, 0.9, "less"),
        (1.1, 1.4, "more"),
        (0.9, 1.1, "open"),
        (0.5, math.inf, "open"),
    ):
        facts._ratios["x"] = (low, high)
        assert facts.verdict("x") == said


def test_a_run_of_several_qemus_is_refused(tmp_path: Path) -> None:
    meta = {"venue": "host", "conditions": {}, "paths": [], "plan": {}}
    row = {"metric": "throughput", "value": 1e9, "unit": "bit/s", "status": "ok"}
    with RunWriter.create(tmp_path / "run", meta) as writer:
        for qemu in ("7.2", "10.0"):
            writer.add(f"virtio-net-pci+tap+qemu+tx+tcp+qemu-{qemu}", 1, False, {"results": [row]})
    with pytest.raises(StoreError, match=r"has several QEMUs \(10\.0, 7\.2\): a post tells of one"):
        RunFacts(RunReader.open(tmp_path / "run"), FactBook())


def test_the_book_says_what_it_has_and_takes_no_second_value() -> None:
    book = FactBook()
    book.add("a.b", 7, "run", "here")
    with pytest.raises(PostError, match=r"a\.c") as caught:
        book.use("a.c")
    assert "a.b" in caught.value.hint
    with pytest.raises(PostError, match="given twice"):
        book.add("a.b", 8, "run", "here")
    with pytest.raises(PostError, match="unknown"):
        book.add("a.d", 8, "hearsay", "here")
    assert book.used == [] and book.number("a.b") == 7 and len(book.used) == 1


def test_who_sent_the_interrupts_with_vhost_is_told_under_kvm_alone(tmp_path: Path) -> None:
    """vhost's signals and QEMU's own, each with its reason to be none."""
    for number, (accelerator, attached, told) in enumerate(
        [("kvm", True, ("50", "3")), ("kvm", False, None), ("tcg", True, None)]
    ):
        meta = {"venue": "host", "conditions": {"accelerator": accelerator}, "paths": []}
        with RunWriter.create(tmp_path / str(number), meta) as writer:
            for rep, how, calls in ((1, "kprobe", 20), (2, "kprobe", 30), (1, "uprobe", 1), (2, "uprobe", 2)):
                cell = "virtio-net-pci+tap+vhost-net+tx+tcp"
                row = {"direction": "tx", "position": 3, "stage": "interrupt", "function": f"by_{how}"}
                row |= {"how": how, "attached": attached or how == "kprobe", "calls": calls, "frames": 0}
                rows = {"stages": [row | {"bytes": 0, "note": "", "observed": 1.0, "windowed": False}]}
                kinds = {"nic": "virtio-net-pci", "netdev": "tap", "datapath": "vhost-net"}
                result = kinds | {"direction": "tx", "workload": "tcp", "metric": "throughput", "value": 1.0}
                result |= {"unit": "bit/s", "status": "ok", "order": rep, "qemu": "7.2.22"}
                writer.add(cell, 2 * rep + (how == "kprobe"), True, {"results": [result], **rows})
        book = FactBook()
        RunFacts(RunReader.open(tmp_path / str(number)), book)
        if told:
            assert (book.use("interrupts_sent.kernel"), book.use("interrupts_sent.qemu")) == told
        else:
            assert not book.has("interrupts_sent.kernel")
