"""What a workload measures is in the report without a question of its own (rows are made up)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qtrace.report.answers import Answers
from qtrace.report.render import build
from qtrace.store.run import RunReader, RunWriter

TAP, USER = "e1000+tap+qemu+both+crr", "e1000+user+qemu+both+crr"


def result(metric: str, value: float, unit: str, status: str = "ok") -> dict[str, Any]:
    return {"metric": metric, "value": value, "unit": unit, "status": status, "workload": "crr"}


@pytest.fixture
def run(tmp_path: Path) -> RunReader:
    with RunWriter.create(tmp_path / "run", {"venue": "host", "conditions": {}, "paths": []}) as writer:
        for rep, slower in ((1, 1.0), (2, 2.0)):  # the machine is half as fast in repetition 2
            for cell, rate in ((TAP, 400.0), (USER, 100.0)):
                rows = [result("connection_rate", rate / slower, "1/s"), result("bytes", 7, "byte")]
                rows.append(result("crr_p50", 1e6 * slower / rate, "us"))
                writer.add(cell, rep, False, {"results": rows})
            writer.add(TAP, rep, True, {"results": [result("connection_rate", 1.0, "1/s")]})
        writer.add(USER, 3, False, {"results": [result("none", 0.0, "", "failed")]})
    return RunReader.open(tmp_path / "run")


def test_other_metrics_are_compared_by_repetition(run: RunReader) -> None:
    rows = {(row["metric"], row["netdev"]): row for row in Answers(run).ask("workload_metrics")}
    assert list(rows) == [(metric, netdev) for metric in ("connection_rate", "crr_p50")
                          for netdev in ("tap", "user")]  # fmt: skip
    rate, took = rows["connection_rate", "user"], rows["crr_p50", "user"]
    assert (rate["unit"], rate["n"], rate["ratio"]) == ("1/s", 2, pytest.approx(0.25))
    assert rate["mean"] == pytest.approx(100 / 2**0.5)
    assert (took["unit"], took["ratio"]) == ("us", pytest.approx(4.0)) and took["mean"] == pytest.approx(
        10_000 * 2**0.5
    )
    assert rows["connection_rate", "tap"]["ratio"] == 1.0


def test_they_are_in_the_report(run: RunReader) -> None:
    (section,) = (section for section in build(run).sections if section.name == "workload-metrics")
    shown = [row[:7] for row in section.tables[0].rows]
    assert ("e1000", "user", "crr", "connection_rate", "1/s", "2", "70.7") in shown
