"""Rules on observations of live guests that `make why` has kept, and at their thresholds."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faults import FAULTS
from tried import kept, named

from qtrace.diagnosis.cause import causes, diagnose
from qtrace.diagnosis.observation import Observation, observation_from_json

OBSERVED = kept()
BY_NAME = {
    fault.make.__name__: fault
    for fault in FAULTS
    if fault.make.__name__ in OBSERVED and f"{fault.make.__name__}.near" in OBSERVED
}
HEALTHY = sorted(name for name in OBSERVED if name.startswith("healthy"))


def test_every_fault_is_kept_and_every_cause_is_made() -> None:
    assert len(BY_NAME) >= 25
    assert {fault.make.__name__ for fault in FAULTS} == {*BY_NAME}
    assert {cause.name for cause in causes()} == {fault.cause for fault in FAULTS}


@pytest.mark.parametrize("name", BY_NAME)
def test_a_fault_is_named_first(name: str) -> None:
    assert named(diagnose(OBSERVED[name]))[:1] == [BY_NAME[name].cause]


@pytest.mark.parametrize("name", BY_NAME)
def test_near_the_threshold_it_is_not_named(name: str) -> None:
    assert BY_NAME[name].cause not in named(diagnose(OBSERVED[f"{name}.near"]))


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_guest_has_no_finding_of_weight(name: str) -> None:
    assert not diagnose(OBSERVED[name]).weighty


def test_there_are_twenty_healthy_guests() -> None:
    assert len(HEALTHY) >= 20


@pytest.mark.parametrize("name", OBSERVED)
def test_an_observation_comes_back_from_json_as_it_was(name: str) -> None:
    seen = OBSERVED[name]
    assert observation_from_json(json.loads(json.dumps(seen.to_json()))) == seen


@pytest.mark.parametrize("name", BY_NAME)
def test_a_finding_has_all_that_it_needs(name: str) -> None:
    for finding in diagnose(OBSERVED[name]).findings:
        assert finding.text and finding.about and finding.because and 0 <= finding.share <= 1
        assert finding.evidence and finding.advice
        assert not finding.text.endswith(".") and "\n" not in finding.text
        for item in finding.evidence:
            if item.value is not None and item.low is not None and item.high is not None:
                assert item.low - 1e-9 <= item.value <= item.high + 1e-9


def test_a_cause_says_what_it_looks_at_and_why_from_there() -> None:
    for cause in causes():
        assert cause.looks_for.endswith(".") and cause.looks_at and len(cause.threshold) > 40


def changed(seen: Observation, table: str, **numbers: Any) -> Observation:
    """The same with other numbers in each row of a table of its only NIC."""
    (nic,) = seen.nics
    rows = [
        {**row, **{name: value for name, value in numbers.items() if name in row}} for row in nic.rows(table)
    ]
    return replace(seen, nics=[replace(nic, tables={**nic.tables, table: rows})])


def stated(seen: Observation, path: str, value: object) -> Observation:
    """The same with another value in the state of its only NIC's first queue: `near.link_down`."""
    (nic,) = seen.nics
    end: dict[str, Any] = json.loads(json.dumps(nic.end))
    at: dict[str, Any] = end["queues"][0]
    *way, last = path.split(".")
    for part in way:
        at = at[part]
    at[last] = value
    return replace(seen, nics=[replace(nic, end=end)])


@pytest.mark.parametrize(
    ("dropped", "passed", "is_named"),
    [(9, 1, False), (10, 990, True), (10, 991, False), (11, 1000, True), (0, 0, False)],
)
def test_tap_drops_from_one_in_a_hundred_and_ten_on(dropped: int, passed: int, is_named: bool) -> None:
    seen = changed(OBSERVED["short_queue"], "devices", tx_dropped=dropped, tx_packets=passed)
    assert ("tap-drops" in named(diagnose(seen))) == is_named


@pytest.mark.parametrize(("side", "expected"), [("near", "nic0"), ("far", "net0")])
def test_a_link_that_is_down_is_said_with_its_name(side: str, expected: str) -> None:
    seen = stated(OBSERVED["nic_down.near"], f"{side}.link_down", True)
    (first, *_) = diagnose(seen).findings
    assert first.cause == "link-is-down" and expected in first.text
    assert f'"name": "{expected}"' in first.advice[0].command


@pytest.mark.parametrize(
    ("opened", "limit", "is_named"), [(799, 1000, False), (800, 1000, True), (5, None, False)]
)
def test_descriptors_from_four_fifths_of_the_limit_on(opened: int, limit: int | None, is_named: bool) -> None:
    seen = OBSERVED["few_descriptors.near"]
    end = {**seen.end, "descriptors": {"open": opened, "sockets": 3, "limit": limit}}
    assert ("descriptors-short" in named(diagnose(replace(seen, end=end)))) == is_named


def test_what_is_not_known_is_no_finding() -> None:
    """A run without a state: rules that need one are silent, and it is said."""
    for seen in OBSERVED.values():
        nics = [replace(nic, begin={}, end={}, taps=()) for nic in seen.nics]
        bare = replace(seen, nics=nics, begin={}, end={}, unknown=["the state"])
        found = diagnose(bare)
        assert found.unknown == ["the state"]
        silent = {"link-is-down", "guest-stopped", "tap-without-header", "mtu-differs", "tap-alone"}
        assert not silent & {*named(found)}


def test_causes_do_no_i_o() -> None:
    """They look at an observation and at nothing else."""
    import qtrace.diagnosis.causes as folder

    allowed = ("qtrace.diagnosis.", "qtrace.analyses.methods.", "qtrace.model", "qtrace.trace.frames.reasons")
    allowed += ("collections.abc", "typing")
    for path in Path(folder.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module != "__future__":
                assert (node.module or "").startswith(allowed), path
            assert not isinstance(node, ast.Import), path
