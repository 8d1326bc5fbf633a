"""inside.py STEP: one step of a release's trial, run in the release's root with the clone's own Python. It
prints what it found in one line, and fails where the step does."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from frames import frames_to_guest, frames_to_host

from qtrace.errors import NoPath
from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.guest.kernel import ensure_kernel
from qtrace.lab.link.connection import Network, open_network
from qtrace.lab.machine.machine import LabMachine
from qtrace.model import Direction
from qtrace.path.catalogue import map_tree
from qtrace.path.walk import walk
from qtrace.store.index import open_index
from qtrace.trace.bpf.prerequisites import ensure_headers

QTRACE = (sys.executable, "-m", "qtrace")
FRAMES = 1009
MODES = ("tap", "tap-bridge", "user", "vde", "stream-unix")
# Every stage of the way out that each pair has, and that can be counted at all.
STAGES = ("send", "deliver")


def said(*words: str) -> str:
    """What `qtrace WORDS` prints. Raises SystemExit with what it said where it fails."""
    done = subprocess.run([*QTRACE, *words], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr.strip())
    return done.stdout


def walks() -> str:
    """Every NIC on every netdev, either direction."""
    index = open_index()
    known = map_tree(index)
    found: Counter[str] = Counter()
    for nic in known["nics"]:
        for netdev in known["backends"]:
            for direction in Direction:
                try:
                    walk(index, nic["name"], netdev["name"], direction=direction)
                    found["walks"] += 1
                except NoPath as exc:
                    assert len(str(exc)) > 20, (nic, netdev, exc)
                    found["reasons why not"] += 1
    assert found["walks"] > 500
    return f"QEMU {index.meta['qemu']}: " + ", ".join(f"{count} {what}" for what, count in found.items())


def maps() -> str:
    known = json.loads(said("map", "--format", "json"))
    return f"QEMU {known['qemu']}: {len(known['backends'])} back ends, {len(known['nics'])} NICs"


def labs() -> str:
    """A guest in each of five modes, which answers and has its address."""
    for mode in MODES:
        line = said("lab", "up", mode, "--run", "ip -4 -o addr show dev eth0; uname -r")
        assert "inet " in line, (mode, line)
    return f"{', '.join(MODES)}; guests run Linux {line.split()[-1]}"


def record() -> str:
    """1009 frames each way through tap and user, with virtio-net and e1000, counted exactly."""
    rows = []
    for nic in ("virtio-net-pci", "e1000"):
        for netdev in ("tap", "user"):
            with open_network(nic, netdev, "qemu", choose_accelerator()) as network:
                for direction in Direction:
                    rows.append(f"{nic} on {netdev} {direction}: {_counted(network, direction)}")
    return "; ".join(rows)


def _counted(network: Network, direction: Direction) -> str:
    """The stages that counted every frame. Raises AssertionError for one that counted another number."""
    with tempfile.TemporaryDirectory() as folder:
        words = [str(network.guest.pid), "-o", f"{folder}/run", "--duration", "300", "--format", "json"]
        process = subprocess.Popen(
            [*QTRACE, "record", *words, "--max-overhead", "none", "--cpu-hertz", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr
        told = ""
        for line in process.stderr:
            told += line
            if "counting in process" in line:
                break
        else:
            sys.exit(told.strip())
        sent = (frames_to_host if direction is Direction.TX else frames_to_guest)(network, FRAMES)
        assert sent == FRAMES, sent
        network.settle()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=900)
        assert process.returncode == 0, err
    rows = [row for row in json.loads(out)["stages"] if row["direction"] == direction]
    frames = {row["stage"]: row["frames"] for row in rows if row["frames"] is not None}
    assert {frames[stage] for stage in STAGES} == {FRAMES}, frames
    exact = [stage for stage, count in frames.items() if count == FRAMES]
    return f"{FRAMES} at {', '.join(exact)}"


def programs() -> str:
    """In the release's lab machine every eBPF program is compiled and loaded."""
    kernel = ensure_kernel()
    ensure_headers(release=kernel.release)
    here = Path(__file__).resolve()
    tests = here.parents[2]
    heard = {"stdout": b"", "stderr": b""}

    def hear(stream: str, data: bytes) -> None:
        heard[stream] += data

    with LabMachine(kernel=kernel) as machine:
        words = ["env", f"PYTHONPATH={tests}:{tests / 'measure'}", sys.executable]
        status = machine.run([*words, str(here.with_name("loaded.py"))], on_output=hear, timeout=1200)
    if status != 0:
        sys.exit(heard["stderr"].decode(errors="replace").strip())
    return heard["stdout"].decode().strip()


def symbols() -> str:
    program = Path("/usr/bin/qemu-system-x86_64")
    rows = json.loads(said("symbols", str(program), "--format", "json"))["functions"]
    placed = [row for row in rows if row["address"] is not None]
    return f"{len(placed)} of {len(rows)} functions of the networking code are placed"


def symbols_of_another(program: str = "/usr/bin/qemu-system-x86_64") -> str:
    """With the index of another release than the program's: refused, both versions named; with --force no
    place is two functions'."""
    index = open_index()
    words = ("symbols", program, "--index", str(index.path), "--format", "json")
    refused = subprocess.run([*QTRACE, *words], capture_output=True, text=True)
    told = refused.stderr.rpartition("qtrace: ")[2].splitlines()[0]
    assert refused.returncode == 1 and index.meta["qemu"] in told, refused
    rows = json.loads(said(*words, "--all", "--force"))["functions"]
    placed = {(row["name"], row["file"]): row["address"] for row in rows if row["address"] is not None}
    twice = [name for name, count in Counter(placed.values()).items() if count > 1]
    assert not twice, twice
    functions = {found for table in index.client_tables() for found, _ in table.callbacks.values()}
    callbacks = {(found.name, found.file) for found in functions}
    return (
        f"{told}; with --force {len(placed)} of {len(rows)} functions are placed, no two at one place, "
        f"{len(callbacks & set(placed))} of {len(callbacks)} callbacks of network clients among them"
    )


def plan() -> str:
    """A plan of two cells, and its report, which compares them."""
    with tempfile.TemporaryDirectory() as folder:
        run, report = Path(folder, "run"), Path(folder, "report")
        said(
            "bench", str(Path(__file__).with_name("two_cells.toml")), "-o", str(run), "--report", str(report)
        )
        met = json.loads((run / "run.json").read_text())
        text = (report / "report.md").read_text()
    (line,) = [line for line in text.splitlines() if "median round trip: " in line]
    assert "tap " in line and "user " in line and "× tap" in line, line
    return f"venue {met['venue']}: {line.removeprefix('- ')}"


def doctor() -> str:
    done = subprocess.run([*QTRACE, "doctor", "--format", "json"], capture_output=True, text=True)
    findings = {item["name"]: item for item in json.loads(done.stdout)}
    wrong = [
        f"{name}: {item['found']}" for name, item in findings.items() if item["required"] and not item["ok"]
    ]
    assert not wrong, wrong
    return f"{findings['distribution']['found']}; {findings['QEMU']['found']}; {findings['headers']['found']}"


STEPS: dict[str, Callable[[], str]] = {
    step.__name__: step
    for step in (maps, walks, doctor, labs, programs, record, symbols, symbols_of_another, plan)
}

if __name__ == "__main__":
    print(STEPS[sys.argv[1]]())
