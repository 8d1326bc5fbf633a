"""Runs in the lab machine: pairs of runs that are the same, and pairs of which one is changed on purpose.

    inside.py FOLDER PAIRS CHANGES

Writes PAIRS pairs of unchanged runs and CHANGES pairs of all kinds of change into FOLDER, as
NAME-NUMBER/first and NAME-NUMBER/second. Both of a pair are measured in turns on the same guests, in a random
order in each repetition.
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from changes import AGAIN, AGAIN_REPETITIONS, CHANGES, LINK_MS, Change

from qtrace.conditions import conditions
from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.guest.guest import find_qemu
from qtrace.lab.guest.kernel import Kernel, ensure_kernel
from qtrace.lab.link.connection import Network, open_network
from qtrace.lab.workload.server import serve
from qtrace.lab.workload.workload import clients, workloads
from qtrace.model import Cell, Direction
from qtrace.store.run import RunWriter

Subject = tuple[str, str, Direction | None, float]  # NIC, workload, direction, seconds
State = Callable[[bool], None]

CRR, ON_A_LINK = ("crr", None, 0.3), ("crr", None, 1.0)
TCP = ("tcp", Direction.RX, 1.0)
_WORKLOADS = ("tcp", "crr")
# What an unchanged pair measures of each guest, and what a changed one measures.
SUBJECTS: list[Subject] = [(nic, *what) for nic in ("virtio-net-pci", "e1000") for what in (CRR, TCP)]
CHANGED: dict[str, Subject] = {
    "delay": ("virtio-net-pci", *ON_A_LINK),
    "mtu": ("e1000", *TCP),
    "offload": ("virtio-net-pci", *TCP),
}


@dataclass(frozen=True, slots=True)
class Bed:
    """The guests by NIC, and what is said of every run."""

    guests: dict[str, Network]
    meta: dict[str, object]

    def measure(self, writer: RunWriter, subject: Subject, rep: int) -> None:
        nic, name, direction, seconds = subject
        metrics, _ = workloads()[name].run(self.guests[nic], direction, seconds)
        rows = [{"metric": metric, "value": value, "unit": unit} for metric, value, unit in metrics]
        about = {"nic": nic, "netdev": "tap", "datapath": "qemu", "workload": name, "order": rep}
        about |= {"status": "ok", "reason": "", "started": time.time(), "seconds": seconds}
        about |= {"direction": direction.value if direction else None}
        cell = Cell(nic, "tap", "qemu", direction, name)
        writer.add(cell.id, rep, False, {"results": [about | row for row in rows]})


def main() -> None:
    folder, pairs, changes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    kernel = ensure_kernel()
    accelerator = choose_accelerator()
    facts = conditions(find_qemu(), accelerator, f"Linux {kernel.release}")
    with ExitStack() as stack:
        guests = {nic: _guest(nic, accelerator, kernel, stack) for nic in ("virtio-net-pci", "e1000")}
        bed = Bed(guests, {"venue": "vm", "conditions": facts, "paths": [], "command": []})
        _warm_up(bed, folder)
        for number in range(1, pairs + 1):
            _pair(bed, folder / f"{AGAIN}-{number}", SUBJECTS, AGAIN_REPETITIONS, lambda _: None, number)
        for kind, change in enumerate(CHANGES, 1):
            subject = CHANGED[change.name]
            with _changing(change, guests[subject[0]]) as state:
                for number in range(kind, changes + 1, len(CHANGES)):
                    name = f"{change.name}-{number}"
                    _pair(bed, folder / name, [subject], change.repetitions, state, number)


def _guest(nic: str, accelerator: str, kernel: Kernel, stack: ExitStack) -> Network:
    programs = clients(_WORKLOADS)
    network = stack.enter_context(open_network(nic, "tap", "qemu", accelerator, kernel, programs=programs))
    for name in _WORKLOADS:
        stack.enter_context(serve(network.space, workloads()[name].server, workloads()[name].port))
    return network


def _warm_up(bed: Bed, folder: Path) -> None:
    with RunWriter.create(folder / "warm-up", bed.meta) as writer:
        for subject in SUBJECTS:
            bed.measure(writer, subject, 1)


def _pair(
    bed: Bed, folder: Path, subjects: Sequence[Subject], repetitions: int, state: State, seed: int
) -> None:
    """`state` is told whether what follows is the second run's."""
    began = time.monotonic()
    order = random.Random(seed)
    with (
        RunWriter.create(folder / "first", bed.meta) as first,
        RunWriter.create(folder / "second", bed.meta) as second,
    ):
        for rep in range(1, repetitions + 1):
            for writer in order.sample((first, second), 2):
                state(writer is second)
                for subject in order.sample(subjects, len(subjects)):
                    bed.measure(writer, subject, rep)
    print(f"{folder.name} {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


@contextmanager
def _changing(change: Change, network: Network) -> Iterator[State]:
    """The switch of a change; what it may have changed is as before when the block ends."""
    tap = network.link.tap
    assert tap

    def run(*words: str) -> None:
        subprocess.run(
            network.space.argv(words), check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )

    if change.name == "mtu":
        yield lambda on: run("ip", "link", "set", tap, "mtu", str(change.second if on else change.first))
        run("ip", "link", "set", tap, "mtu", str(change.first))
    elif change.name == "offload":
        state = {False: "on", True: "off"}
        yield lambda on: run("ethtool", "-K", tap, "tso", state[on], "gso", state[on])
        run("ethtool", "-K", tap, "tso", "on", "gso", "on")
    else:
        delay = ("tc", "qdisc", "replace", "dev", tap, "root", "netem", "limit", "10000", "delay")
        run(*delay, f"{LINK_MS}ms")
        more = change.second * _round_trip(network)
        yield lambda on: run(*delay, f"{1000 * LINK_MS + on * 1000 * more:.0f}us")
        run("tc", "qdisc", "del", "dev", tap, "root")


def _round_trip(network: Network) -> float:
    """The mean round trip of pings from the guest, in ms."""
    said = network.guest.sh(f"ping -q -c 20 -i 0.05 {network.link.host_addr}", timeout=60)
    found = re.search(r"= [0-9.]+/([0-9.]+)/", said)
    if not found:
        raise SystemExit(f"ping in the guest said: {said}")
    return float(found[1])


if __name__ == "__main__":
    main()
