"""Each threshold on an observation that was recorded, with the one number changed that it is about."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tried import kept, named

from qtrace.diagnosis.cause import diagnose
from qtrace.diagnosis.observation import Observation
from qtrace.diagnosis.quantities import measured

OBSERVED = kept()
Row = dict[str, Any]


def with_rows(seen: Observation, table: str, change: Callable[[Row], Row | None]) -> Observation:
    """The same with each row of a table of its only NIC changed, or left out where that gives None."""
    (nic,) = seen.nics
    rows = [new for row in nic.rows(table) if (new := change(dict(row))) is not None]
    return replace(seen, nics=[replace(nic, tables={**nic.tables, table: rows})])


def with_state(seen: Observation, change: Callable[[Row], object]) -> Observation:
    """The same with the states at both ends of its only NIC changed."""
    (nic,) = seen.nics
    begin, end = (json.loads(json.dumps(state)) for state in (nic.begin, nic.end))
    for state in (begin, end):
        change(state)
    return replace(seen, nics=[replace(nic, begin=begin, end=end)])


def at_stage(direction: str, stage: str, **numbers: int) -> Callable[[Row], Row]:
    """A change of one stage's numbers."""

    def change(row: Row) -> Row:
        return row | numbers if (row["direction"], row["stage"]) == (direction, stage) else row

    return change


def is_named(cause: str, seen: Observation) -> bool:
    return cause in named(diagnose(seen))


@pytest.mark.parametrize(("refused", "whole", "expected"), [(19, 19, 0), (20, 80, 1), (20, 81, 0)])
def test_addresses_from_a_quarter_and_twenty_on(refused: int, whole: int, expected: bool) -> None:
    seen = with_rows(OBSERVED["other_address"], "stops", lambda row: row | {"frames": refused})
    seen = with_rows(seen, "stages", lambda row: row | {"frames": whole} if row["direction"] == "rx" else row)
    assert is_named("address-refused", seen) == expected


@pytest.mark.parametrize(("failed", "calls", "expected"), [(9, 9, 0), (10, 1000, 1), (10, 1001, 0)])
def test_failed_calls_from_one_in_a_hundred_and_ten_on(failed: int, calls: int, expected: bool) -> None:
    seen = with_rows(OBSERVED["tap_down"], "errnos", lambda row: row | {"count": failed})
    seen = with_rows(seen, "syscalls", lambda row: row | {"calls": calls, "tid": 0})
    (nic,) = seen.nics
    one = next(row for row in nic.rows("syscalls") if row["name"] == "writev")
    seen = replace(seen, nics=[replace(nic, tables={**nic.tables, "syscalls": [one]})])
    assert is_named("calls-fail", seen) == expected


@pytest.mark.parametrize("errno", ["EAGAIN", "EINTR", "ERESTARTSYS"])
def test_how_a_loop_ends_is_no_failure(errno: str) -> None:
    seen = with_rows(OBSERVED["tap_down"], "errnos", lambda row: row | {"errno": errno})
    assert not is_named("calls-fail", seen)


@pytest.mark.parametrize(
    ("count", "bucket", "expected"),
    [(2, 30, False), (3, 26, True), (3, 24, False), (1000, 10, False)],
)
def test_a_ring_that_ran_empty_long_enough(count: int, bucket: int, expected: bool) -> None:
    """2^26 ns are 0.07 s: three of them, in the middle of their bucket, are 0.28 s of 4."""
    row = {"netdev_id": "net0", "queue": 0, "direction": "rx", "from_stage": "deliver", "from_function": "f"}
    row |= {"to_stage": "enqueue", "to_function": "g", "bucket": bucket, "count": count}
    seen = with_rows(OBSERVED["short_ring.near"], "stops", lambda row: None)
    (nic,) = seen.nics
    seen = replace(seen, seconds=4.0, nics=[replace(nic, tables={**nic.tables, "waits": [row]})])
    assert is_named("buffers-short", seen) == expected


@pytest.mark.parametrize(("kicks", "expected"), [(100, True), (99, False)])
def test_trapped_kicks_from_a_hundred_a_second_on(kicks: int, expected: bool) -> None:
    seen = replace(OBSERVED["trapped"], seconds=1.0)
    seen = with_rows(seen, "stages", at_stage("tx", "kick", calls=kicks))
    assert is_named("kicks-trapped", seen) == expected


def test_kicks_that_are_eventfds_are_not_trapped() -> None:
    def change(state: Row) -> None:
        state["queues"][0]["near"]["virtio"]["notified"] = True

    assert not is_named("kicks-trapped", with_state(OBSERVED["trapped"], change))


@pytest.mark.parametrize(("on_top", "expected"), [(900, True), (899, False)])
def test_queues_from_nine_in_ten_on(on_top: int, expected: bool) -> None:
    seen = replace(OBSERVED["unbalanced"], seconds=1.0)

    def change(row: Row) -> Row:
        return row | {"frames": on_top if row["queue"] == 0 else 1000 - on_top}

    (nic,) = seen.nics
    both = [dict(row) | {"queue": queue} for row in nic.rows("queues", queue=0) for queue in (0, 1)]
    seen = replace(seen, nics=[replace(nic, tables={**nic.tables, "queues": both})])
    assert is_named("queues-unbalanced", with_rows(seen, "queues", change)) == expected


@pytest.mark.parametrize(("mean", "a_second", "expected"), [(1546, 200, 1), (1547, 200, 0), (1546, 199, 0)])
def test_one_segment_a_frame(mean: int, a_second: int, expected: bool) -> None:
    """1,514 bytes, virtio's header, a VLAN's tag and a little; a frame of two segments is twice that."""
    seen = replace(OBSERVED["cut_in_guest"], seconds=1.0)
    numbers = {"frames": a_second, "bytes": mean * a_second}
    assert (
        is_named("small-segments", with_rows(seen, "stages", at_stage("tx", "deliver", **numbers)))
        == expected
    )


@pytest.mark.parametrize("bit", [0, 11])
def test_segmentation_rests_on_the_checksum(bit: int) -> None:
    """Without either feature there are no large segments, and the guest's stack is not to blame."""

    def change(state: Row) -> None:
        near = state["queues"][0]["near"]
        near["features"] &= ~(1 << bit)

    seen = with_state(OBSERVED["cut_in_guest"], change)
    found = next(one for one in diagnose(seen).findings if one.cause == "offloads-declined")
    assert {0: "csum", 11: "host_tso4"}[bit] in found.text and "guest's driver" in found.text
    assert not is_named("small-segments", seen)


@pytest.mark.parametrize(
    ("ran", "waited", "expected"),
    [
        (0.90, 0.0, {"thread-at-limit"}),
        (0.89, 0.0, set()),
        (0.60, 0.39, {"thread-at-limit"}),
        (0.50, 0.40, {"processors-short"}),
        (0.50, 0.39, set()),
    ],
)
def test_a_thread_that_works_and_one_that_waits(ran: float, waited: float, expected: set[str]) -> None:
    seen = replace(OBSERVED["crowded"], seconds=1.0)
    tid = next(row["tid"] for row in seen.rows("threads") if row["thread"].startswith("CPU "))
    rows = [{**row, "seconds": ran if row["tid"] == tid else 0.0} for row in seen.rows("threads")]
    times = {str(row["tid"]): {"name": row["thread"], "ran": 0.0, "waited": 0.0} for row in rows}
    after = {**times, str(tid): {"name": "CPU 0/TCG", "ran": ran, "waited": waited}}
    seen = replace(seen, tables={**seen.tables, "threads": rows})
    seen = replace(seen, begin={**seen.begin, "threads": times}, end={**seen.end, "threads": after})
    seen = with_rows(seen, "stages", lambda row: row | {"frames": max(row["frames"], 100)})
    assert {"thread-at-limit", "processors-short"} & {*named(diagnose(seen))} == expected


@pytest.mark.parametrize(
    ("mtu", "told", "expected"), [(1500, 0, False), (1499, 0, True), (9000, 9000, False)]
)
def test_an_mtu_that_differs(mtu: int, told: int, expected: bool) -> None:
    def change(state: Row) -> None:
        state["queues"][0]["near"]["mtu"] = told

    seen = with_state(OBSERVED["narrow_tap"], change)
    (nic,) = seen.nics
    seen = replace(seen, nics=[replace(nic, taps=[{**nic.taps[0], "mtu": mtu}])])
    assert is_named("mtu-differs", seen) == expected


@pytest.mark.parametrize(("share", "expected"), [(0.099, False), (0.1, True)])
def test_tracing_from_a_tenth_of_a_processor_on(share: float, expected: bool) -> None:
    seen = OBSERVED["nic_down.near"]
    seen = replace(seen, end={**seen.end, "tracing": {"share": share}})
    assert is_named("tracing-dear", seen) == expected


def stood(**changes: object) -> Observation:
    """The main thread in sendmsg, with other fields of that row."""
    seen = OBSERVED["blocked"]
    calls = json.loads(json.dumps(seen.end["calls"]))
    (row,) = (row for row in calls["rows"] if row["main"])
    row |= changes
    return replace(seen, end={**seen.end, "calls": {**calls, "looks": 50}})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"seen": 25}, True),
        ({"seen": 24}, False),
        ({"seen": 50, "blocking": False}, False),
        ({"seen": 50, "call": "ioctl"}, False),
        ({"seen": 50, "descriptor": -1, "call": "ppoll"}, False),
        # A serial port's pipe that nobody reads, and a worker that waits for a disk.
        ({"seen": 50, "descriptor": 99, "kind": "pipe", "call": "write"}, True),
        ({"seen": 50, "descriptor": 99, "kind": "/disk", "call": "preadv", "main": False}, False),
        ({"seen": 50, "descriptor": 99, "call": "write", "main": False, "thread": "CPU 0/KVM"}, True),
    ],
)
def test_a_thread_that_stands_in_a_call_half_of_the_time(changes: dict[str, object], expected: bool) -> None:
    assert is_named("thread-blocked", stood(**changes)) == expected


def test_what_waits_behind_a_blocked_thread_is_said() -> None:
    (finding,) = diagnose(OBSERVED["blocked"]).findings
    assert finding.effect == "breaks" and "sendmsg" in finding.text
    assert any("CPU 0" in item.text and "futex" in item.text for item in finding.evidence)
    assert any("server=off" in item.command for item in finding.advice)


@pytest.mark.parametrize(
    ("readers", "features", "expected"),
    [(["ubridge (7)"], 1, 1), ([], 1, 0), (None, 1, 0), (["ubridge (7)"], 2, 0)],
)
def test_checksums_left_where_somebody_reads_raw(
    readers: list[str] | None, features: int, expected: bool
) -> None:
    """Which is a note: a program that only looks loses nothing."""

    def agreed(state: Row) -> None:
        for queue in state["queues"]:
            queue["near"]["features"] = features

    seen = with_state(OBSERVED["read_raw"], agreed)
    (nic,) = seen.nics
    seen = replace(seen, nics=[replace(nic, taps=[{**nic.taps[0], "readers": readers}])])
    assert is_named("checksums-left", seen) == expected
    assert not diagnose(seen).weighty


@pytest.mark.parametrize(
    ("misses", "frames", "expected"), [(99, 100, 0), (100, 200, 1), (100, 201, 0), (100, 0, 1)]
)
def test_iommu_misses_from_a_hundred_and_one_in_two_on(misses: int, frames: int, expected: bool) -> None:
    seen = with_rows(OBSERVED["mapped_each_time"], "iotlb_misses", lambda row: row | {"count": misses})
    seen = with_rows(seen, "devices", lambda row: row | {"rx_packets": frames, "tx_packets": 0})
    seen = with_rows(seen, "stages", lambda row: row | {"windowed": False, "observed": 1.0})
    assert is_named("iommu-misses", seen) == expected


def test_what_was_counted_between_pauses_says_so() -> None:
    """An instrument's numbers are those of the time in which it counted; a stage's are scaled, with their
    interval."""
    seen = OBSERVED["mapped_each_time"]
    seen = with_rows(seen, "iotlb_misses", lambda row: row | {"count": 400})
    seen = with_rows(seen, "devices", lambda row: row | {"rx_packets": 500, "tx_packets": 300})
    seen = with_rows(seen, "stages", lambda row: row | {"windowed": True, "observed": 0.8})
    (finding,) = diagnose(replace(seen, seconds=10.0)).findings
    assert [one.text for one in finding.evidence][:3] == [
        "50 misses a second (45 to 55)",
        "misses: 400, counted in 80% of the window",
        "frames at the tap, both ways: 800",
    ]
    row = {"frames": 100, "frames_error": 7.5}
    assert measured(row, "frames", "frames").text == "frames: 100 (92 to 108)"
    assert measured(row | {"frames_error": 0.0}, "frames", "frames").text == "frames: 100"


@pytest.mark.parametrize(("queued", "free", "expected"), [(1, 0, 1), (0, 0, 0), (1, 1, 0)])
def test_a_silent_guest_whose_frame_came_in_a_pause_of_counting(
    queued: int, free: int, expected: bool
) -> None:
    """Of a burst that the budget has not counted QEMU's memory tells that a frame waits, and why."""

    def waits(state: Row) -> None:
        for queue in state["queues"]:
            queue["near"]["queued"], queue["near"]["virtio"]["rx_free"] = queued, free

    seen = with_state(OBSERVED["silent"], waits)
    (nic,) = seen.nics
    seen = replace(seen, nics=[replace(nic, tables={**nic.tables, "stops": []})])
    assert is_named("guest-silent", seen) == expected
