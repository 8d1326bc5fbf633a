"""The rest of an interrupted run: what is recorded is not measured again (rows are made up)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qtrace.campaign.assignment import assigned, resumed
from qtrace.campaign.jobs import Outcome
from qtrace.campaign.plan import Job
from qtrace.campaign.rounds import Taken, due, taken_of
from qtrace.errors import StoreError
from qtrace.store.run import RunReader, RunWriter

META: dict[str, Any] = {"venue": "host", "conditions": {"date": "1", "QEMU": "7.2.22"}, "paths": []}
BLOCKS = ("e1000+tx+tcp", "e1000+both+rr")


def record(writer: Any, job: Job, status: str = "ok") -> None:
    row = {"metric": "throughput", "value": 1.0, "unit": "bit/s", "status": status}
    writer.add(job.cell.id, job.rep, job.probed, {"results": [row]})


def begun(folder: Path, number: int, status: str = "ok") -> tuple[Job, ...]:
    """A run of two blocks that was interrupted after so many jobs; all its jobs."""
    assignment = assigned("quick", folder, BLOCKS)
    writer = assignment.open({**META, "plan": assignment.plan.to_json()})
    for job in assignment.jobs[:number]:
        record(writer, job, status)
    writer.finish("interrupted")
    return assignment.jobs


@pytest.mark.parametrize("number", [0, 5, 29])
def test_the_rest_is_what_was_not_recorded_in_the_same_order(number: int, tmp_path: Path) -> None:
    jobs = begun(tmp_path / "run", number)
    assert len(jobs) == 4 * 3 * 2 + 2 * 3  # and each block's baseline once more
    rest = resumed(tmp_path / "run")
    assert rest.jobs == jobs[number:] and rest.blocks == BLOCKS
    with rest.open({**META, "conditions": {"date": "2", "QEMU": "7.2.22"}}) as writer:
        for job in rest.jobs:
            record(writer, job)
    run = RunReader.open(tmp_path / "run")
    assert run.meta["status"] == "complete" and run.table("results").num_rows == len(jobs)
    assert run.meta["conditions"]["date"] == "1" and run.meta["blocks"] == [*BLOCKS]
    assert run.meta["resumed"] == [number]
    with pytest.raises(StoreError, match="went through its plan"):
        resumed(tmp_path / "run").open(META)


def test_a_run_that_ended_in_a_later_round_goes_on_with_the_decisions_made_so_far(tmp_path: Path) -> None:
    """With a precision: the round that was begun is ended, and the rounds after it are those that would have
    been."""
    (tmp_path / "plan.toml").write_text(
        'name = "x"\nrepetitions = 2\nprecision = 0.01\nat_most = 30\n'
        + "".join(
            f'[[cells]]\nnic = "e1000"\nnetdev = "{netdev}"\nworkloads = ["tcp"]\ndirections = ["tx"]\n'
            for netdev in ("tap", "user")
        )
    )
    begun = assigned(str(tmp_path / "plan.toml"), tmp_path / "run")
    writer = begun.open({**META, "plan": begun.plan.to_json()})
    taken: list[Taken] = []

    def measure(writer: RunWriter, job: Job) -> None:
        row = {"metric": "throughput", "value": 1.0 + len(job.cell.id) * job.rep % 7, "unit": "bit/s"}
        row |= {"status": "ok", "seconds": 3.0}
        writer.add(job.cell.id, job.rep, job.probed, {"results": [row]})
        taken.extend(taken_of([{"cell": job.cell.id, "rep": job.rep, "probed": job.probed, **row}]))

    for job in begun.jobs:
        measure(writer, job)
    third = due(begun.plan, (), taken)
    assert [job.rep for job in third] == [3, 3, 3]
    measure(writer, third[0])
    writer.finish("interrupted")

    rest = resumed(tmp_path / "run")
    assert rest.plan == begun.plan and rest.jobs == third[1:]
    assert sorted(rest.taken, key=repr) == sorted(taken, key=repr)
    for job in third[1:]:
        taken.extend(taken_of([{"cell": job.cell.id, "rep": 3, "probed": False, "metric": "throughput",
                                "value": 2.0, "status": "ok", "seconds": 3.0}]))  # fmt: skip
    assert {job.rep for job in due(rest.plan, (), taken)} == {4}


def test_a_failure_of_the_first_part_is_not_forgotten(tmp_path: Path) -> None:
    begun(tmp_path / "run", 1, "failed")
    rest = resumed(tmp_path / "run")
    outcome = Outcome(taken=[*rest.taken])
    assert outcome.partial and outcome.failed_before == 1 and len(rest.jobs) == 29
    outcome.failed.append("now")
    outcome.taken.append(Taken("e1000+tap", 1, False, 1.0, ok=False))
    assert outcome.failed_before == 1
    assert not Outcome(taken=[Taken("e1000+tap", 1, False, 1.0)]).partial


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ({**META, "conditions": {"QEMU": "10.0.13"}}, "QEMU: 7.2.22, and now 10.0.13"),
        ({**META, "conditions": {}}, "QEMU: 7.2.22, and now None"),
        ({**META, "venue": "vm"}, "venue: host, and now vm"),
    ],
)
def test_other_conditions_are_refused(meta: dict[str, Any], said: str, tmp_path: Path) -> None:
    begun(tmp_path / "run", 1)
    before = (tmp_path / "run" / "run.json").read_bytes()
    with pytest.raises(StoreError, match=said):
        resumed(tmp_path / "run").open(meta)
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def test_a_run_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    assignment = assigned("quick", tmp_path / "run")
    writer = assignment.open({**META, "plan": assignment.plan.to_json()})
    with pytest.raises(StoreError, match="is being written by another process"):
        resumed(tmp_path / "run").open(META)
    writer.finish("interrupted")
    resumed(tmp_path / "run").open(META).finish("complete")
