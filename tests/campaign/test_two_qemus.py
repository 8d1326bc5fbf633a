"""Two QEMUs in one campaign, for real: the installed one, and the next Debian's in a root of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from contained import NEXT

from qtrace.report.render import build
from qtrace.store.index import Index
from qtrace.store.run import RunReader

pytestmark = [pytest.mark.long, pytest.mark.needs("root", "bcc", "tun", "qemu-system-x86_64")]

PLAN = """
name = "two"
repetitions = 1
cpu_hertz = 99
copies = true
[seconds]
tcp = 1
[qemu]
other = "{suite}"
[[cells]]
nic = "e1000"
netdev = "tap"
directions = ["tx"]
workloads = ["tcp"]
qemu = ["{installed}", "other"]
"""


def test_each_cell_is_measured_in_its_own_qemu_with_its_own_index(
    installed: Index, newer: Index, tmp_path: Path
) -> None:
    release = ".".join(installed.meta["qemu"].split(".")[:2])
    releases = {release: installed, "other": newer}
    text = PLAN.format(suite=NEXT, installed=release)
    (tmp_path / "plan.toml").write_text(text)
    run = tmp_path / "run"
    words = [
        "bench",
        str(tmp_path / "plan.toml"),
        "--venue",
        "host",
        "--index",
        str(newer.path),
        "-o",
        str(run),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "qtrace", *words],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    assert "/roots/" not in Path("/proc/self/mountinfo").read_text()
    assert not [file for file in Path("/proc").glob("[0-9]*/cmdline") if str(run).encode() in _words(file)]
    measured = RunReader.open(run)
    conditions = measured.meta["conditions"]
    for name, index in releases.items():
        assert conditions[f"QEMU {name}"].split()[0] == index.meta["qemu"]
        assert conditions[f"QEMU {name}: source index"].startswith(f"QEMU {index.meta['qemu']}, ")
    assert "QEMU" not in conditions
    results = measured.table("results").to_pylist()
    speeds = [row for row in results if row["metric"] == "throughput"]
    assert {(row["cell"].split("+qemu-")[1].split("+")[0], row["qemu"]) for row in speeds} == {
        (name, index.meta["qemu"]) for name, index in releases.items()
    }
    # Plain, plain once more (A/A), and with probes.
    assert len(speeds) == 6 and all(row["value"] > 0 for row in speeds)
    stages = measured.table("stages").to_pylist()
    for name, index in releases.items():
        mine = [row for row in stages if row["cell"].endswith(f"+qemu-{name}") and row["direction"] == "tx"]
        counted = {row["stage"]: row["frames"] for row in mine if row["attached"]}
        assert min(counted[stage] for stage in ("dequeue", "send", "deliver", "host")) > 0, name
        sampled = [
            row for row in measured.table("cpu_functions").to_pylist() if row["cell"].endswith(f"-{name}")
        ]
        files = {row["file"] for row in sampled if "/" in row["file"]}
        # Of a window in which a guest starts iperf3: a tenth of a second of CPU has ten samples.
        assert sampled and all(Path(index.meta["root"], file).is_file() for file in files), name
        copied = [row for row in measured.table("copies").to_pylist() if row["cell"].endswith(f"-{name}")]
        dma = [row for row in copied if (row["function"], row["direction"]) == ("address_space_rw", "tx")]
        # e1000 reads all payload into a buffer of its own, and a header once for all segments made with it.
        (payload,) = (
            row["value"]
            for row in results
            if row["metric"] == "bytes" and row["probed"] and row["cell"].endswith(f"-{name}")
        )
        assert sum(row["bytes"] for row in dma) > payload > 0, name
        places = {
            (step["function"], step["file"], step["line"])
            for path in measured.meta["paths"]
            if path["qemu"] == name
            for step in path["steps"]
            if step["stage"] and step["file"]
        }
        assert places
        for function, file, line in places:
            assert line in {row.line for row in index.function(function, file)}, (name, function)
    (section,) = (one for one in build(measured).sections if one.name == "qemus")
    ((row,),) = (table.rows for table in section.tables)
    assert str(row[9]).startswith("not known: one repetition has no interval")


def _words(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
