"""A factor that is a function shows its samples and its file; a thread with few samples says so."""

from __future__ import annotations

from pathlib import Path

from qtrace.report.answers import Answers
from qtrace.report.sections.factors import SECTION
from qtrace.store.run import RunReader, RunWriter

MAIN, VCPU = "qemu-system-x86", "CPU 0/TCG"
# Back end -> thread -> function -> samples.
SAMPLES = {
    "tap": {MAIN: {"tap_send": 60, "main_loop": 40}, VCPU: {"e1000_mmio_write": 3}},
    "user": {MAIN: {"slirp_input": 90}, VCPU: {"e1000_mmio_write": 70}},
}


def test_functions_have_their_samples(tmp_path: Path) -> None:
    meta = {"venue": "host", "conditions": {}, "paths": [], "plan": {}}
    with RunWriter.create(tmp_path / "run", meta) as writer:
        for netdev, threads in SAMPLES.items():
            for rep in (1, 2):
                for probed in (False, True):
                    writer.add(f"e1000+{netdev}+qemu+tx+tcp", rep, probed, tables(threads, probed))
    section = SECTION.write(Answers(RunReader.open(tmp_path / "run")))
    (table,) = section.tables
    shown = {str(row[0]).strip(): row[-1] for row in table.rows}
    assert shown["tap_send"] == "0 / 120 samples, net/x.c"
    assert shown["slirp_input"] == "180 / 0 samples, net/x.c"
    values = {str(row[0]).strip(): row[1:3] for row in table.rows}
    assert values["tap_send"][0] == values["slirp_input"][1] == "–"  # no sample is no time of nothing
    assert "–" not in {values["tap_send"][1], values["slirp_input"][0]}
    (divided, whole) = (row for row in table.rows if str(row[0]).strip() == "in QEMU")
    assert "samples" not in divided[-1]
    assert whole[-1] == "not by function: 140 / 6 samples, of 50 on each side"
    assert "where both sides have 50 of it or more" in section.reading


def tables(threads: dict[str, dict[str, int]], probed: bool) -> dict[str, list[dict[str, object]]]:
    metrics = {"throughput": (8e5, "bit/s"), "bytes": (1e5, "byte")}
    found: dict[str, list[dict[str, object]]] = {
        "results": [
            {"metric": name, "value": value, "unit": unit, "status": "ok", "seconds": 1.0}
            for name, (value, unit) in metrics.items()
        ],
        "devices": [{"device": "eth0", "side": "guest", "rx_packets": 10, "tx_packets": 100}],
        "threads": [
            {"thread": name, "tid": 1, "seconds": 0.5, "voluntary": 1, "involuntary": 0}
            | {"system": 0.1, "guest": 0.0}
            for name in threads
        ],
    }
    if probed:
        found["cpu_functions"] = [
            {"thread": name, "tid": 1, "function": function, "file": "net/x.c", "samples": number}
            | {"hertz": 99}
            for name, functions in threads.items()
            for function, number in {**functions, "[kernel]": 500}.items()
        ]
    return found
