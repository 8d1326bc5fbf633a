"""The section on a NIC's queues, of a real run whose guest sent 11 frames on one and 17 on the other."""

from __future__ import annotations

from pathlib import Path

from qtrace.report.render import build
from qtrace.store.run import RunReader

RUN = Path(__file__).parents[1] / "store" / "runs" / "format-2" / "recorded"


def test_each_queue_has_its_frames_and_its_share() -> None:
    sections = build(RunReader.open(RUN)).sections
    names = [section.name for section in sections]
    assert names.index("stages") + 1 == names.index("queues") == names.index("stage-latency") - 1
    (section,) = (section for section in sections if section.name == "queues")
    handed, every = section.tables
    tap = ("virtio-net-pci", "tap", "net1", "tx")
    assert handed.rows == ((*tap, "0", "11", "2.33 kB", "39.3 %"), (*tap, "1", "17", "3.60 kB", "60.7 %"))
    deliver = [row for row in every.rows if row[4:6] == ("deliver", "tap_receive_iov")]
    assert [row[6:] for row in deliver] == [("0", "11", "11"), ("1", "17", "17")]
    assert all(row[4] for row in every.rows), "a step that is no stage"


def test_a_nic_with_one_queue_has_no_such_section() -> None:
    sections = build(RunReader.open(RUN.with_name("measured"))).sections
    assert "queues" not in [section.name for section in sections]
