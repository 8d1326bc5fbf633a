"""Workloads are found by themselves, and each says what a plan and a stand have to know of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from qtrace.campaign.plan import load_plan
from qtrace.distribution.identity import distribution
from qtrace.errors import LabError
from qtrace.lab.workload.workload import Metric, measured, workloads

MINIMAL = 'name = "x"\n[[cells]]\nnic = "e1000"\nnetdev = "tap"\n'


def test_the_first_are_those_that_a_plan_means() -> None:
    assert [*workloads()][:2] == ["tcp", "rr"]
    assert [one.name for one in workloads().values() if one.standard] == ["tcp", "rr"]


@pytest.mark.parametrize("name", workloads())
def test_a_workload_says_what_it_needs(name: str, tmp_path: Path) -> None:
    one = workloads()[name]
    assert one.least_seconds >= 1 and one.seconds >= one.least_seconds
    assert len({metric.name for metric in one.metrics}) == len(one.metrics)
    assert all(metric.unit for metric in one.metrics)
    assert any(metric.better for metric in one.metrics)
    assert [other.port for other in workloads().values()].count(one.port) == 1
    for program in (*one.server[:1], *one.clients):
        assert distribution().package(program) or not distribution().packages
    assert bool(one.server) == bool(one.port)
    plan = tmp_path / "plan.toml"
    plan.write_text(f'{MINIMAL}workloads = ["{name}"]\n')
    cells = load_plan(str(plan)).cells
    assert {cell.workload for cell in cells} == {name} and len(cells) == (2 if one.directed else 1)
    assert load_plan(str(plan)).seconds[name] == one.seconds


def test_what_is_measured_is_what_was_declared() -> None:
    metrics = (Metric("a", "us", "less"), Metric("b", "byte"))
    assert measured(metrics, {"b": 2.0, "a": 1.0}) == [("a", 1.0, "us"), ("b", 2.0, "byte")]
    assert measured(metrics, {"b": None, "a": 0.0}) == [("a", 0.0, "us")]  # not told is not 0
    with pytest.raises(LabError, match="measured a, not a, b"):
        measured(metrics, {"a": 1.0})
