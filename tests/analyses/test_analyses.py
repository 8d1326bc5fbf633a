"""The analyses on small tables made by hand (test data, not measurements), with known answers."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from qtrace.analyses.cpu import thread_kind
from qtrace.analyses.methods.data import Data, merge
from qtrace.analyses.methods.registry import analyses
from qtrace.errors import StoreError
from qtrace.store.run_schema import SCHEMAS

TAP, USER = "e1000+tap+qemu+tx+tcp", "e1000+user+qemu+tx+tcp"
VHOST = "virtio-net-pci+tap+vhost-net+tx+tcp"
SWITCH = "virtio-net-pci+vhost-user+vhost-user+tx+tcp"
PLAIN = "virtio-net-pci+tap+qemu+tx+tcp"
KEY = {"rep": 1, "probed": True}


def data(venue: str = "host", **rows: list[dict[str, Any]]) -> Data:
    tables = {
        name: pd.DataFrame(rows.get(name, []), columns=schema.names) for name, schema in SCHEMAS.items()
    }
    return Data(tables, venue)


def ask(name: str, given: Data) -> list[dict[str, Any]]:
    return [
        {str(key): value for key, value in row.items()} for row in analyses()[name](given).to_dict("records")
    ]


def result(cell: str, rep: int, value: float, metric: str = "throughput", **more: Any) -> dict[str, Any]:
    return {
        "cell": cell,
        "rep": rep,
        "probed": False,
        "metric": metric,
        "value": value,
        "status": "ok",
    } | more


def stage(cell: str, name: str, function: str, frames: int, **more: Any) -> dict[str, Any]:
    row = {"cell": cell, "direction": "tx", "position": 1, "stage": name, "function": function}
    row |= {"how": "uprobe", "attached": True, "calls": frames, "frames": frames, "bytes": 100 * frames}
    return row | KEY | {"note": ""} | more


def test_every_analysis_asks_one_question_and_answers_an_empty_run() -> None:
    assert len(analyses()) >= 12
    for name, analysis in analyses().items():
        assert analysis.question.endswith("?"), name
        answer = analysis(data())
        assert answer.empty and tuple(answer.columns) == analysis.columns, name


def test_the_ratio_is_paired_by_repetition() -> None:
    # The machine gets twice as slow in repetition 2: the ratio does not notice.
    rows = [result(TAP, 1, 100), result(TAP, 2, 50), result(USER, 1, 20), result(USER, 2, 10)]
    rows.append(result(USER, 3, 99, probed=True))  # measured with probes: no speed of ours
    tap, user = ask("throughput", data(results=rows))
    assert (tap["ratio"], tap["n"]) == (1.0, 2) and tap["mean"] == pytest.approx((100 * 50) ** 0.5)
    assert user["ratio"] == pytest.approx(0.2) and user["ratio_low"] == pytest.approx(0.2)
    assert user["ratio_n"] == 2 and user["mean"] == pytest.approx(0.2 * tap["mean"])


def test_a_failed_measurement_is_no_speed() -> None:
    rows = [result(TAP, 1, 100), result(TAP, 2, 1, status="failed")]
    assert ask("throughput", data(results=rows))[0]["mean"] == 100


def test_directions_stay_apart() -> None:
    there, back = TAP, TAP.replace("+tx+", "+rx+")
    rows = ask("throughput", data(results=[result(there, 1, 10), result(back, 1, 30)]))
    assert {row["way"]: row["mean"] for row in rows} == {"tx": 10, "rx": 30}


def test_venues_are_never_mixed() -> None:
    with pytest.raises(StoreError, match="host, vm"):
        merge([data("vm"), data("host")])


def test_repetitions_of_two_runs_are_all_kept() -> None:
    runs = [data(results=[result(TAP, 1, value)]) for value in (10, 20)]
    assert ask("throughput", merge(runs))[0]["n"] == 2


def test_probes_cost_is_probed_over_plain() -> None:
    rows = [result(TAP, rep, 100 * rep) for rep in (1, 2)]
    rows += [result(TAP, rep, 80 * rep, probed=True) for rep in (1, 2)]
    (row,) = ask("probe_cost", data(results=rows))
    assert row["ratio"] == pytest.approx(0.8) and row["n"] == 2
    assert row["probed"] == pytest.approx(0.8 * row["plain"])


def test_a_stage_that_could_not_be_counted_is_unknown_and_not_zero() -> None:
    rows = [stage(TAP, "deliver", "tap_receive", 0, attached=False, note="no symbol")]
    (row,) = ask("stages", data(stages=rows))
    assert not row["attached"] and pd.isna(row["frames"]) and row["note"] == "no symbol"


def test_system_calls_per_mb_are_over_all_the_payload() -> None:
    rows = [result(TAP, rep, 5e6, "bytes", probed=True) for rep in (1, 2)]
    call = {"cell": TAP, "thread": "main", "tid": 1, "fd": "tap", "errors": 0, "bytes": 7, "probed": True}
    calls = [call | {"rep": rep, "name": "writev", "calls": 50} for rep in (1, 2)]
    calls.append(call | {"rep": 1, "name": "ppoll", "calls": 20})
    found = {row["name"]: row for row in ask("syscalls", data(results=rows, syscalls=calls))}
    assert found["writev"]["calls_per_mb"] == 10
    assert found["ppoll"]["calls_per_mb"] == 2, "repetition 2 made none, its payload counts all the same"


def test_packets_per_call_take_one_stage_and_the_calls_of_the_direction() -> None:
    stages = [stage(TAP, "send", "qemu_send", 80), stage(TAP, "deliver", "tap_receive", 80)]
    call = {"cell": TAP, "thread": "main", "tid": 1, "errors": 0, "bytes": 7} | KEY
    calls = [
        call | {"name": name, "fd": fd, "calls": made}
        for name, fd, made in (("writev", "tap", 40), ("readv", "tap", 9), ("write", "eventfd", 5))
    ]
    (row,) = ask("batching", data(stages=stages, syscalls=calls))
    assert (row["frames"], row["stage"], row["calls"], row["frames_per_call"]) == (80, "deliver", 40, 2)
    assert row["all_calls"] == 54


def test_kicks_and_interrupts_per_packet() -> None:
    stages = [stage(TAP, "deliver", "tap_receive", 100), stage(TAP, "kick", "mmio_write", 0, calls=25)]
    (row,) = ask("notifications", data(stages=stages))
    assert row["kicks_per_frame"] == 0.25 and pd.isna(row["interrupts"])


def test_cpu_per_gb_counts_the_vhost_worker_whatever_its_pid() -> None:
    rows = [result(VHOST, rep, 5e8, "bytes") for rep in (1, 2)]
    thread = {"cell": VHOST, "probed": False, "tid": 9, "voluntary": 1, "involuntary": 0}
    threads = [thread | {"rep": rep, "thread": f"vhost-{77 + rep}", "seconds": rep} for rep in (1, 2)]
    threads.append(thread | {"rep": 1, "thread": "main", "seconds": 9, "probed": True})
    (row,) = ask("cpu", data(results=rows, threads=threads))
    assert (row["thread"], row["s_per_gb"], row["seconds"]) == ("vhost worker", 3, 3)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("vhost-12", "vhost worker"), ("CPU 0/KVM", "CPU 0/KVM"), ("worker", "worker"), ("", "unnamed")],
)
def test_thread_kinds(name: str, kind: str) -> None:
    assert thread_kind(name) == kind


def proof(in_qemu: int, in_kernel: int, cell: str = VHOST) -> list[dict[str, Any]]:
    rows = [stage(VHOST, "deliver", "tun_sendmsg", 1, how="kprobe", rep=9)] if cell != VHOST else []
    rows += [stage(cell, "dequeue", "virtqueue_pop", in_qemu), stage(cell, "kick", "mmio_write", 5)]
    rows.append(stage(cell, "deliver", "tun_sendmsg", in_kernel, how="kprobe"))
    return [
        row
        for row in ask("vhost_proof", data(stages=rows))
        if cell.startswith(row["nic"] + "+tap+" + row["datapath"])
    ]


@pytest.mark.parametrize(
    ("cell", "in_qemu", "in_kernel", "carried_by", "as_planned"),
    [
        (VHOST, 0, 1009, "kernel", True),
        (VHOST, 1009, 0, "qemu", False),
        (VHOST, 3, 1009, "both", False),
        (VHOST, 0, 0, "nobody", False),
        (PLAIN, 1009, 0, "qemu", True),
        (PLAIN, 0, 1009, "kernel", False),
    ],
)
def test_vhost_is_proved_by_both_sides(
    cell: str, in_qemu: int, in_kernel: int, carried_by: str, as_planned: bool
) -> None:
    (row,) = proof(in_qemu, in_kernel, cell)
    assert (row["carried_by"], row["as_planned"]) == (carried_by, as_planned)
    assert (row["qemu_frames"], row["kernel_frames"]) == (in_qemu, in_kernel)


@pytest.mark.parametrize(("in_qemu", "carried_by"), [(0, "switch"), (1009, "qemu")])
def test_frames_of_vhost_user_are_the_switch_s_where_qemu_counts_none(in_qemu: int, carried_by: str) -> None:
    rows = [stage(SWITCH, "dequeue", "virtqueue_pop", in_qemu), stage(SWITCH, "kick", "mmio_write", 0)]
    (row,) = ask("vhost_proof", data(stages=rows))
    assert (row["qemu_frames"], row["kernel_frames"]) == (in_qemu, None)
    assert (row["carried_by"], row["as_planned"]) == (carried_by, carried_by == "switch")


def test_zero_is_not_what_vhost_user_carried() -> None:
    """Its switch has no probe: there is no count to hold against the tap's own."""
    device = {"cell": SWITCH, "device": "tap0", "side": "tap", "rx_packets": 1009, "tx_packets": 4}
    device |= dict.fromkeys(("rx_bytes", "tx_bytes", "rx_dropped", "tx_dropped"), 0) | KEY
    rows = [stage(SWITCH, "deliver", "tap_receive_iov", 0)]
    assert ask("reconciliation", data(stages=rows, devices=[device])) == []


def test_the_difference_to_the_device_is_shown() -> None:
    device = {"cell": TAP, "device": "qt0", "side": "tap", "rx_packets": 1010, "tx_packets": 4, "rx_bytes": 9}
    device |= {"tx_bytes": 0, "rx_dropped": 0, "tx_dropped": 0} | KEY
    rows = [stage(TAP, "deliver", "tap_receive", 1009)]
    (row,) = ask("reconciliation", data(stages=rows, devices=[device, device | {"side": "guest"}]))
    assert (row["frames"], row["device_frames"], row["difference"]) == (1009, 1010, -1)
    assert row["device"] == "qt0 rx", "what the guest sends, the tap device receives"


def test_the_ledger_puts_what_is_serious_first() -> None:
    row = {"cell": TAP, "note": None} | KEY
    rows = [row | {"kind": kind, "item": "x", "count": count}
            for kind, count in (("windowed", 5), ("lost", 2), ("unmatched", 0))]  # fmt: skip
    assert [(row["kind"], row["count"]) for row in ask("ledger", data(ledger=rows))] == [
        ("lost", 2),
        ("windowed", 5),
    ]


def ends(direction: str, **more: Any) -> dict[str, Any]:
    row = {"cell": PLAIN, "direction": direction, "from_stage": "dequeue", "from_function": "virtqueue_pop"}
    return row | {"to_stage": "complete", "to_function": "virtqueue_push", "queue": 0} | KEY | more


def test_frames_are_followed_over_queues_and_repetitions() -> None:
    counts = {"frames": 10, "matched": 6, "ambiguous": 3, "unmatched": 1}
    given = data(
        frames=[ends("tx", **counts), ends("tx", queue=1, **counts), ends("tx", rep=2, **counts)],
        frame_times=[ends("tx", bucket=10, count=9), ends("tx", rep=2, bucket=12, count=9)],
    )
    (row,) = ask("frame_latency", given)
    assert [row[name] for name in ("n", "frames", "matched", "ambiguous", "unmatched")] == [2, 30, 18, 9, 3]
    assert row["matched_share"] == 0.6
    assert (row["p50_low_ns"], row["p50_high_ns"]) == (1024, 2048)
    assert (row["p99_low_ns"], row["p99_high_ns"]) == (4096, 8192)


def test_frames_that_none_could_be_followed_have_no_time() -> None:
    (row,) = ask("frame_latency", data(frames=[ends("rx", frames=0, matched=0, ambiguous=0, unmatched=0)]))
    assert row["matched_share"] is None and row.get("p50_ns") in (
        None,
        pytest.approx(float("nan"), nan_ok=True),
    )


def test_cpu_shares_are_of_each_thread_and_of_all() -> None:
    def sampled(thread: str, function: str, samples: int) -> dict[str, Any]:
        row = {"cell": PLAIN, "thread": thread, "function": function, "file": "a.c", "samples": samples}
        return row | {"hertz": 200} | KEY

    given = [sampled("main", "f", 30), sampled("CPU 0/KVM", "f", 10), sampled("CPU 0/KVM", "g", 60)]
    rows = {(row["thread"], row["function"]): row for row in ask("cpu_functions", data(cpu_functions=given))}
    assert rows["all", "g"]["share"] == 0.6 and rows["all", "f"]["share"] == 0.4
    assert rows["main", "f"]["share"] == 1.0 and rows["CPU 0/KVM", "g"]["of"] == 70
    assert rows["all", "g"]["seconds"] == pytest.approx(0.3)
    assert [row["thread"] for row in ask("cpu_functions", data(cpu_functions=given))][:2] == ["all", "all"]


def test_bytes_copied_for_each_byte_of_all_queues_and_repetitions() -> None:
    def copied(function: str, **more: Any) -> dict[str, Any]:
        row = {"cell": PLAIN, "netdev_id": "net0", "queue": 0, "direction": "tx", "function": function}
        row |= {"file": "a.c", "line": 7, "attached": True, "note": "", "calls": 10, "bytes": 120}
        return KEY | row | {"frames": 10, "frame_bytes": 1000} | more

    given = [copied("f"), copied("f", queue=1, bytes=80), copied("f", rep=2)]
    given += [copied("g", frames=0, frame_bytes=0), copied("h", attached=False, note="nowhere")]
    rows = {row["function"]: row for row in ask("copies", data(copies=given))}
    f = rows["f"]
    assert [f[name] for name in ("calls", "bytes", "frames", "frame_bytes")] == [30, 320, 30, 3000]
    assert f["bytes_per_frame"] == pytest.approx(320 / 30) and f["bytes_per_byte"] == pytest.approx(0.32 / 3)
    assert pd.isna(rows["g"]["bytes_per_frame"]) and pd.isna(rows["g"]["bytes_per_byte"])
    assert not rows["h"]["attached"] and rows["h"]["note"] == "nowhere"


def test_what_was_sent_again_in_the_order_of_its_kinds() -> None:
    def again(kind: str, count: int, rep: int = 1) -> dict[str, Any]:
        row = {"cell": PLAIN, "netdev_id": "net0", "kind": kind, "function": "tcp_output", "file": "a.c"}
        return KEY | row | {"line": 7, "attached": True, "note": "", "count": count, "rep": rep}

    given = [again("timeout", 2), again("fast", 1), again("timeout", 3, rep=2), again("fast", 0, rep=2)]
    rows = ask("retransmissions", data(retransmissions=given))
    assert [(row["kind"], row["count"]) for row in rows] == [("timeout", 5), ("fast", 1)]


def test_where_frames_waited_and_stopped() -> None:
    given = data(
        waits=[ends("rx", bucket=20, count=2), ends("rx", bucket=21, count=2)],
        stops=[
            {"cell": PLAIN, "direction": "rx", "stage": "send", "function": "f", "frames": 4, "why": "x"}
            | KEY
        ],
    )
    (wait,), (stop,) = ask("waiting", given), ask("stopped", given)
    assert wait["count"] == 4 and wait["p50_low_ns"] == 2**20
    assert (stop["stage"], stop["frames"], stop["why"]) == ("send", 4, "x")


def effect(plain: tuple[int, int], probed: tuple[int, int], throughput: float) -> Data:
    """Four repetitions, each (frames, read and write calls) plain and probed; a throughput ratio."""
    results, devices, threads = [], [], []
    for rep in range(1, 5):
        for with_probes, (frames, calls) in ((False, plain), (True, probed)):
            much = rep if rep < 3 else 1
            key = {"cell": TAP, "rep": rep, "probed": with_probes}
            speed = 1e8 * much * (throughput if with_probes else 1)
            results += [result(TAP, rep, speed, probed=with_probes)]
            results += [result(TAP, rep, 1e6 * much, "bytes", probed=with_probes)]
            devices.append(key | {"side": "guest", "rx_packets": 0, "tx_packets": frames * much})
            use = key | {"tid": 1, "seconds": 1.0, "involuntary": 0}
            threads.append(use | {"thread": "main", "voluntary": 10 * much, "transfers": calls * much})
            threads.append(use | {"thread": "CPU 0/TCG", "voluntary": 999 * rep, "transfers": 0})
    return data(results=results, devices=devices, threads=threads)


def test_a_slower_traffic_of_the_same_kind_is_a_cost() -> None:
    given = effect((1000, 2000), (1000, 2000), 0.7)
    assert [row["change"] for row in ask("probe_effect", given) if not row["is_cost"]] == []
    (row,) = ask("probe_cost", given)
    assert row["ratio"] == pytest.approx(0.7) and row["changed"] == ""


def test_no_cost_is_computed_from_another_traffic() -> None:
    given = effect((1000, 2000), (1000, 300), 2.1)
    changes = {row["measure"]: row for row in ask("probe_effect", given)}
    assert changes["read and write calls a frame"]["change"] == "read and write calls a frame 2.0 -> 0.3"
    assert not any(row["is_cost"] for row in changes.values())
    (row,) = ask("probe_cost", given)
    assert pd.isna(row["ratio"]) and "read and write calls a frame 2.0 -> 0.3" in row["changed"]
    told = [row for row in ask("ledger", given) if row["kind"] == "probing changed the traffic"]
    assert {row["item"] for row in told} >= {"read and write calls a frame 2.0 -> 0.3"}
    assert told[0]["cells"] == "e1000 tap qemu tx tcp"


def test_a_run_from_before_the_kernel_s_own_counts_tells_what_it_can() -> None:
    given = effect((1000, 2000), (1000, 300), 1.0)
    given.tables["threads"]["transfers"] = None
    assert ask("probe_effect", given) == []
