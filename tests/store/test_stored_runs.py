"""Real runs of every format there has been (runs/README.md): they open, with these numbers, for ever."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from qtrace.model import Direction
from qtrace.report.answers import Answers
from qtrace.report.formats.frame_times import sampled_frames
from qtrace.report.measured import measured
from qtrace.report.render import render
from qtrace.store.run import RunReader
from qtrace.store.run_schema import FORMAT, OLDEST, SCHEMAS

RUNS = Path(__file__).parent / "runs"
FORMATS = range(OLDEST, FORMAT + 1)

# Rows of each table; the others have none.
RECORDED = {
    1: {"stages": 125, "queues": 28, "edges": 107, "frames": 6, "waits": 1, "frame_times": 9, "samples": 70}
    | {"syscalls": 20, "threads": 5, "cpu_functions": 32, "copies": 10, "retransmissions": 3, "devices": 2}
    | {"ledger": 14},
    2: {"stages": 125, "queues": 28, "edges": 98, "frames": 6, "waits": 1, "frame_times": 10, "samples": 70}
    | {"syscalls": 19, "threads": 5, "cpu_functions": 37, "copies": 10, "retransmissions": 3, "devices": 2}
    | {"ledger": 11},
}
MEASURED = {
    1: {"results": 11, "stages": 19, "edges": 96, "frames": 4, "frame_times": 18, "syscalls": 8}
    | {"threads": 8, "devices": 4},
    2: {"results": 11, "stages": 19, "edges": 99, "frames": 4, "frame_times": 22, "syscalls": 8}
    | {"threads": 8, "devices": 4},
}
# Frames from first stage to last by bucket, tx.
TIMES = {
    1: {12: 22, 13: 7, 14: 4, 15: 2, 16: 2},
    2: {12: 25, 13: 4, 14: 3, 15: 4, 17: 1},
}
PASSAGES = {1: 525, 2: 488}
CALLS = {1: 4484, 2: 4613}
# With `measured`: frames tx and rx, the throughput in bit/s without and with probes, p50 in us.
SPEED = {
    1: (322, 238, 93728728.01131766, 49705019.95715536, 43372.961),
    2: (911, 780, 432320569.14149076, 216457289.135504, 3848.71),
}


def opened(number: int, name: str) -> RunReader:
    run = RunReader.open(RUNS / f"format-{number}" / name)
    assert run.meta["format"] == number and run.meta["status"] == "complete"
    return run


def rows(run: RunReader, table: str, **wanted: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = run.table(table).to_pylist()
    return [row for row in found if all(row[name] == value for name, value in wanted.items())]


def buckets(found: list[dict[str, Any]]) -> dict[int, int]:
    counts: Counter[int] = Counter()
    for row in found:
        counts[row["bucket"]] += row["count"]
    return dict(counts)


def test_every_format_has_its_runs() -> None:
    assert {path.name for path in RUNS.glob("format-*")} == {f"format-{number}" for number in FORMATS}
    for number in FORMATS:
        for file in (RUNS / f"format-{number}").rglob("*.parquet"):
            names = set(pq.read_schema(file).names)
            assert ("slot" in names) <= (number == 1) and ("bucket" in names) <= (number > 1), file


@pytest.mark.parametrize("number", FORMATS)
@pytest.mark.parametrize(("name", "expected"), [("recorded", RECORDED), ("measured", MEASURED)])
def test_every_table_has_its_rows_in_today_s_columns(
    number: int, name: str, expected: dict[int, dict[str, int]]
) -> None:
    run = opened(number, name)
    tables = {table: run.table(table) for table in SCHEMAS}
    assert {table: found.num_rows for table, found in tables.items() if found.num_rows} == expected[number]
    assert all(found.schema == SCHEMAS[table] for table, found in tables.items())
    assert not run.damaged


@pytest.mark.parametrize("number", FORMATS)
def test_what_the_guest_sent_is_what_was_counted(number: int) -> None:
    run = opened(number, "recorded")
    deliver = {row["cell"].split("-")[-1]: row["frames"]
               for row in rows(run, "stages", direction="tx", stage="deliver")}  # fmt: skip
    assert deliver == {"net0": 37, "net1": 28, "net2": 13}
    queues = rows(run, "queues", direction="tx", stage="deliver")
    assert {(row["netdev_id"], row["card"], row["queue"]): row["frames"] for row in queues} == {
        ("net1", "nic1", 0): 11,
        ("net1", "nic1", 1): 17,
    }
    devices = {row["device"]: (row["rx_packets"], row["tx_packets"]) for row in rows(run, "devices")}
    assert devices == {"tap0": (37, 13), "queued": (28, 0)}
    frames = {(row["netdev_id"], row["queue"], row["direction"]): row for row in rows(run, "frames")}
    assert {key: row["matched"] for key, row in frames.items() if row["direction"] == "tx"} == {
        ("net0", 0, "tx"): 37,
        ("net1", 0, "tx"): 11,
        ("net1", 1, "tx"): 17,
    }
    assert frames["net0", 0, "rx"]["matched"] == 13 and frames["net0", 0, "rx"]["waited"] == 1
    again = {row["kind"]: row["count"] for row in rows(run, "retransmissions", netdev_id="net2")}
    assert again == {"timeout": 0, "fast": 0, "window probe": 0}


@pytest.mark.parametrize("number", FORMATS)
def test_times_are_in_their_buckets(number: int) -> None:
    run = opened(number, "recorded")
    assert buckets(rows(run, "frame_times", direction="tx")) == TIMES[number]
    assert buckets(rows(run, "waits")) == {28: 1}  # the guest was stopped for a quarter to half of a second
    assert sum(buckets(rows(run, "edges")).values()) == PASSAGES[number]
    assert sum(row["calls"] for row in rows(run, "syscalls")) == CALLS[number]
    (waited,) = Answers(run).ask("waiting")
    assert (waited["p50_low_ns"], waited["p50_high_ns"]) == (2**28, 2**29)


@pytest.mark.parametrize("number", FORMATS)
def test_sampled_frames_are_of_their_netdev(number: int) -> None:
    frames = sampled_frames(opened(number, "recorded"))
    assert [frame.netdev_id for frame in frames] == ["net0"] * 7
    assert sum(len(frame.hits) for frame in frames) == 70


@pytest.mark.parametrize("number", FORMATS)
def test_a_walk_has_the_run_beside_it(number: int) -> None:
    run = opened(number, "recorded")
    path = next(path for path in Answers(run).paths if path.direction is Direction.TX)
    found = measured(run, path)
    assert (found.traffic, found.frames, found.others) == ("live-net0", 37, ("live-net1",))
    assert any("37 of 37 frames followed" in line for line in found.tail())


@pytest.mark.parametrize("number", FORMATS)
def test_a_recorded_run_is_rendered(number: int, tmp_path: Path) -> None:
    render(opened(number, "recorded"), tmp_path)
    page = (tmp_path / "report.md").read_text()
    assert (
        "- The probes counted 78 frames on tap where the device's own counters say 78; the differences"
        in page
    )
    assert "| virtio-net-pci | tap | rx | send | deliver | 380 ms | 533 ms | 1 |" in page
    assert "| virtio-net-pci | user | timeout | `tcp_output (libslirp/src/tcp_output.c:54)` | 0 | – |" in page
    assert {file.suffix for file in (tmp_path / "figures").iterdir()} == {".svg"}


@pytest.mark.parametrize("number", FORMATS)
def test_a_campaign_is_rendered(number: int, tmp_path: Path) -> None:
    tx, rx, plain, probed, round_trip = SPEED[number]
    run = opened(number, "measured")
    (speed,), (cost,) = Answers(run).ask("throughput"), Answers(run).ask("probe_cost")
    assert speed["mean"] == plain and (cost["plain"], cost["probed"]) == (plain, probed)
    assert {row["metric"]: row["mean"] for row in Answers(run).ask("latency")}["rtt_p50"] == round_trip
    carried = {row["direction"]: row for row in Answers(run).ask("reconciliation")}
    assert {way: row["frames"] for way, row in carried.items()} == {"tx": tx, "rx": rx}
    assert not any(row["difference"] for row in carried.values())
    render(run, tmp_path)
    page = (tmp_path / "report.md").read_text()
    assert f"- The probes counted {tx + rx:,} frames on tap" in page
    assert f"- virtio-net-pci, tx, guest to host: tap {plain / 1e6:.3g} Mbit/s." in page
