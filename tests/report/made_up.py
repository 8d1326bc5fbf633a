"""A made-up run: test data for the pure functions of the report, not a measurement of anything."""

from __future__ import annotations

from pathlib import Path

from qtrace.model import STAGE_ORDER, Boundary, CallSite, Cell, Direction, Evidence, Role, Step
from qtrace.model import Path as Way
from qtrace.store.run import RunWriter

BACKENDS = [
    ("virtio-net-pci", "user", "qemu"),
    ("virtio-net-pci", "tap", "qemu"),
    ("virtio-net-pci", "tap", "vhost-net"),
    ("e1000", "user", "qemu"),
    ("e1000", "tap", "qemu"),
]
SPEED = {"user": 0.14e9, "tap": 1.6e9, "vhost-net": 2.4e9}
FRAMES = 1009


def way(nic: str, netdev: str, datapath: str, direction: Direction) -> Way:
    """A path with one made-up function a stage and one more between each two."""
    steps: list[Step] = []
    for number, role in enumerate(STAGE_ORDER[direction]):
        file = f"hw/net/{nic}.c" if role in (Role.KICK, Role.DEQUEUE, Role.INTERRUPT) else f"net/{netdev}.c"
        if datapath == "vhost-net":
            file = "drivers/vhost/net.c"
        why = Evidence("net/tap.c", 12, "the table net_tap_info holds it")
        call = CallSite(file, 40 + number, "table" if number % 2 else "direct", (why,)) if number else None
        if number:
            steps.append(Step(f"between_{number}", file, 7 * number, None, call))
        line = 0 if datapath == "vhost-net" else 100 + number
        owner = "vhost" if datapath == "vhost-net" else netdev
        steps.append(Step(f"{owner}_{role.value}_{direction.value}", file, line, role, call))
    return Way(nic, netdev, datapath, direction, tuple(steps), Boundary("syscall", "writev"))


def fill(writer: RunWriter, cell: Cell, rep: int, probed: bool) -> None:
    """One measurement with plausible numbers that follow from the cell, so that they can be checked."""
    speed = SPEED[cell.datapath if cell.datapath != "qemu" else cell.netdev] * (1 + rep / 50)
    speed *= 0.9 if probed else 1.0
    common = {
        "nic": cell.nic,
        "netdev": cell.netdev,
        "datapath": cell.datapath,
        "direction": cell.direction.value if cell.direction else None,
        "workload": cell.workload,
        "order": rep,
        "started": 1.0e9 + rep,
        "seconds": 2.0,
        "status": "ok",
        "reason": "",
    }
    if cell.workload == "tcp":
        metrics = {"throughput": (speed, "bit/s"), "bytes": (speed / 4, "byte"), "retransmits": (0, "")}
    else:
        metrics = {f"rtt_{name}": (at * 1e11 / speed, "us") for name, at in
                   (("mean", 1.1), ("p50", 1.0), ("p90", 1.5), ("p99", 2.0))}  # fmt: skip
    tables: dict[str, list[dict[str, object]]] = {
        "results": [common | {"metric": name, "value": value, "unit": unit} for name, (value, unit) in
                    metrics.items()],
        "threads": [
            {"thread": name, "tid": 100 + rep, "seconds": 0.25, "voluntary": 5, "involuntary": 1}
            for name in ("qemu-system-x86", "CPU 0/KVM", f"vhost-{4000 + rep}")
        ],
    }  # fmt: skip
    if probed:
        _probed(tables, cell)
    writer.add(cell.id, rep, probed, tables, {"tool": {"said": "what it said"}})


def _probed(tables: dict[str, list[dict[str, object]]], cell: Cell) -> None:
    tables["stages"], tables["edges"] = [], []
    vhost = cell.datapath == "vhost-net"
    for direction in [cell.direction] if cell.direction else list(Direction):
        stages = way(cell.nic, cell.netdev, cell.datapath, direction).stages
        for number, step in enumerate(stages):
            in_kernel = vhost and step.stage not in (Role.KICK, Role.INTERRUPT)
            tables["stages"].append(
                {"direction": direction.value, "position": number, "stage": str(step.stage),
                 "function": step.function, "how": "kprobe" if in_kernel else "uprobe", "attached": True,
                 "calls": FRAMES, "frames": 0 if step.stage in (Role.KICK, Role.INTERRUPT) else FRAMES,
                 "bytes": FRAMES * 1514, "note": ""})  # fmt: skip
            if number:
                before = stages[number - 1]
                tables["edges"] += [
                    {"direction": direction.value, "from_stage": str(before.stage),
                     "from_function": before.function, "to_stage": str(step.stage),
                     "to_function": step.function, "bucket": 9 + number + extra, "count": FRAMES // 2}
                    for extra in (0, 1)]  # fmt: skip
        if vhost:
            tables["stages"].append(
                {"direction": direction.value, "position": 50, "stage": "deliver", "function": "tap_receive",
                 "how": "uprobe", "attached": True, "calls": 0, "frames": 0, "bytes": 0, "note": ""}
            )  # fmt: skip
    tables["syscalls"] = [
        {"thread": "qemu-system-x86", "tid": 100, "name": name, "fd": fd, "calls": FRAMES // 2, "errors": 0,
         "bytes": 9} for name, fd in (("writev", "tap"), ("readv", "tap"), ("ppoll", ""))]  # fmt: skip
    _followed(tables, cell)
    if cell.netdev == "tap":
        counters = dict.fromkeys(("rx_packets", "tx_packets"), FRAMES + 2)
        counters |= dict.fromkeys(("rx_bytes", "tx_bytes", "rx_dropped", "tx_dropped"), 0)
        tables["devices"] = [{"device": "qt0", "side": "tap", **counters}]
    tables["ledger"] = [{"kind": "windowed", "item": "edges", "count": 3, "note": "one frame in 16 timed"}]


def _followed(tables: dict[str, list[dict[str, object]]], cell: Cell) -> None:
    """Frames from end to end: all but three matched, of which one waited; and where the CPU was."""
    whose = {"netdev_id": "net0", "queue": 0}
    tables |= {name: [] for name in ("frames", "frame_times", "waits", "stops")}
    for direction in [cell.direction] if cell.direction else list(Direction):
        stages = way(cell.nic, cell.netdev, cell.datapath, direction).stages
        first, last = stages[1], stages[-2]
        ends = {"direction": direction.value, "from_stage": str(first.stage),
                "from_function": first.function, "to_stage": str(last.stage),
                "to_function": last.function}  # fmt: skip
        carried = "kernel" if cell.datapath == "vhost-net" else "qemu"
        tables["frames"].append(
            {**whose, **ends, "carried": carried, "frames": FRAMES, "matched": FRAMES - 3, "ambiguous": 1,
             "unmatched": 2, "waited": 1})  # fmt: skip
        tables["frame_times"].append({**whose, **ends, "bucket": 14, "count": FRAMES - 3})
        tables["waits"].append({**whose, **ends, "bucket": 27, "count": 1})
        tables["stops"].append(
            {**whose, "direction": direction.value, "stage": str(first.stage), "function": first.function,
             "frames": 2, "why": "the link is down: dropped"})  # fmt: skip
    tables["cpu_functions"] = [
        {"thread": thread, "tid": 100, "function": name, "file": file, "samples": samples, "hertz": 100}
        for thread, name, file, samples in (
            ("qemu-system-x86", "[kernel]", "", 30), ("qemu-system-x86", "tap_send", "net/tap.c", 10),
            ("CPU 0/KVM", "unknown", "qemu-system-x86_64", 60))
    ]  # fmt: skip


def make_run(path: Path, repetitions: int = 3, **meta: object) -> Path:
    """Write the made-up run to `path`."""
    paths = [way(*backend, direction).to_json() for backend in BACKENDS for direction in Direction]
    head = {
        "qtrace": "0.1",
        "command": ["qtrace", "bench", "quick"],
        "venue": "host",
        "venue_reason": "root, bcc, KVM and /dev/vhost-net are here",
        "conditions": {"date": "2026-01-01 00:00 UTC", "accelerator": "made up", "CPU": "made-up, 2 online",
                       "QEMU": "0.0 (made up)"},
        "plan": {"name": "quick", "repetitions": repetitions,
                 "baseline": {"netdev": "tap", "datapath": "qemu"}},
        "paths": paths,
    }  # fmt: skip
    with RunWriter.create(path, head | meta) as writer:
        for rep in range(1, repetitions + 1):
            for nic, netdev, datapath in BACKENDS:
                for direction, workload in ((Direction.TX, "tcp"), (Direction.RX, "tcp"), (None, "rr")):
                    for probed in (False, True):
                        fill(writer, Cell(nic, netdev, datapath, direction, workload), rep, probed)
    return path
