"""The shares of a NIC's queues on rows made by hand (test data), and that the report shows them by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qtrace.report.answers import Answers
from qtrace.report.render import build
from qtrace.store.run import RunReader, RunWriter

CELL = "virtio-net-pci+tap+qemu+both+live-net1"


def queue(number: int, frames: int, calls: int, **more: Any) -> dict[str, Any]:
    row = {"netdev_id": "net1", "card": "nic1", "queue": number, "direction": "tx", "position": 3}
    row |= {"stage": "deliver", "function": "tap_receive_iov"}
    return row | {"calls": calls, "frames": frames, "bytes": 100 * frames} | more


@pytest.fixture
def run(tmp_path: Path) -> RunReader:
    kick = {"stage": "kick", "function": "virtio_queue_notify", "position": 0}
    rows = [queue(0, 30, 30), queue(1, 10, 5), queue(0, 0, 1, **kick), queue(1, 0, 3, **kick)]
    with RunWriter.create(tmp_path / "run", {"venue": "host", "conditions": {}, "paths": []}) as writer:
        writer.add(CELL, 1, True, {"queues": rows})
        writer.add(CELL, 2, True, {"queues": [queue(1, 20, 10)]})
    return RunReader.open(tmp_path / "run")


def test_shares_are_of_a_stage_s_frames_or_else_of_its_calls(run: RunReader) -> None:
    rows = {(row["stage"], row["queue"]): row for row in Answers(run).ask("queues")}
    assert {key: row["share"] for key, row in rows.items()} == {
        ("deliver", 0): 0.5,
        ("deliver", 1): 0.5,
        ("kick", 0): 0.25,
        ("kick", 1): 0.75,
    }
    second = rows["deliver", 1]
    assert [second[name] for name in ("n", "calls", "frames", "bytes")] == [2, 15, 30, 3000]
    assert second["netdev"] == "tap" and second["netdev_id"] == "net1"


def test_the_report_shows_them(run: RunReader) -> None:
    (section,) = (section for section in build(run).sections if section.name == "queues")
    cells = [cell for table in section.tables for row in table.rows for cell in row]
    assert {"virtio-net-pci", "tap", "tap_receive_iov", "virtio_queue_notify", "3.00 kB"} <= set(cells)
