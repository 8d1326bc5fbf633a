"""Rates and times of connections on rows made by hand (test data); the report shows them by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from qtrace.report.answers import Answers
from qtrace.report.render import build
from qtrace.store.run import RunReader, RunWriter

METRICS = {
    "connection_rate": "1/s",
    "connections": "connection",
    "crr_p50": "us",
    "crr_p90": "us",
    "crr_p99": "us",
}


@pytest.fixture
def run(tmp_path: Path) -> RunReader:
    """The tap makes 200 and 400 connections a second, user half as many in the same repetition."""
    meta = {"venue": "host", "conditions": {}, "paths": [], "plan": {"baseline": {"netdev": "tap"}}}
    with RunWriter.create(tmp_path / "run", meta) as writer:
        for netdev, times in (("tap", 1), ("user", 2)):
            for rep in (1, 2):
                rate = 200 * rep / times
                values = (rate, 2 * rate, 1e6 / rate, 1.5e6 / rate, 4e6 / rate)
                common = {"nic": "e1000", "netdev": netdev, "datapath": "qemu", "direction": None}
                common |= {"workload": "crr", "order": rep, "started": 1e9, "seconds": 2.0}
                rows = [
                    common | {"metric": name, "value": value, "unit": unit, "status": "ok", "reason": ""}
                    for (name, unit), value in zip(METRICS.items(), values, strict=True)
                ]
                writer.add(f"e1000+{netdev}+qemu+both+crr", rep, False, {"results": rows})
    return RunReader.open(tmp_path / "run")


def test_the_ratio_is_of_the_same_repetition(run: RunReader) -> None:
    rows = {(row["netdev"], row["metric"]): row for row in Answers(run).ask("connections")}
    tap, user = rows["tap", "connection_rate"], rows["user", "connection_rate"]
    assert (tap["mean"], tap["n"], tap["ratio"]) == (300, 2, 1.0)
    assert user["mean"] == 150 and user["ratio"] == pytest.approx(0.5)
    assert rows["user", "crr_p50"]["mean"] == pytest.approx(7500)
    assert rows["user", "crr_p50"]["ratio"] == pytest.approx(2)
    assert ("tap", "connections") not in rows  # a count of a window is no speed


def test_the_report_has_a_row_a_cell(run: RunReader) -> None:
    (section,) = (section for section in build(run).sections if section.name == "connections")
    (table,) = section.tables
    tap, user = table.rows
    assert tap[:3] == ("e1000", "tap", "300") and user[:3] == ("e1000", "user", "150")
    assert user[4] == "0.500 ×" and tap[6] == "3.75 ms" and user[-1] == "2"
