"""What probing costs a guest's traffic, ours at each level beside other tools: `make bench-overhead`.

    python tests/speed/overhead.py ROUNDS

Writes docs/overhead.md. Nothing else may run on the machine meanwhile. Needs root, bcc, bpftrace and
bpfcc-tools.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import rivals

from qtrace.analyses.stats import Estimate, ratio
from qtrace.bench.attach import Attacher, Placement
from qtrace.bench.conditions import conditions
from qtrace.lab.accel import choose_accelerator
from qtrace.lab.guest import find_qemu
from qtrace.lab.kernel import ensure_kernel
from qtrace.lab.network import Network, open_network
from qtrace.lab.workload.server import serve
from qtrace.lab.workload.tcp import PORT, SERVER, tcp
from qtrace.model import Direction, Probe
from qtrace.model import Path as Walked
from qtrace.source.build import ensure_index
from qtrace.source.walk import walk
from qtrace.trace.budget import UNLIMITED, Budget, cost_of, default_budget
from qtrace.trace.calibrate import Cost
from qtrace.trace.engine import open_engine
from qtrace.trace.level import Level
from qtrace.trace.regulator import Regulator
from qtrace.trace.target import Target

ROOT = Path(__file__).parent.parent.parent
_SECONDS = 3
_SMALL = 64  # bytes of a datagram
_NONE = "no probes"
_OURS: dict[str, tuple[Level, Budget]] = {
    "qtrace, counts": (Level.COUNTS, UNLIMITED),
    "qtrace, stages within 5 %": (Level.STAGES, default_budget(Level.STAGES)),
    "qtrace, stages exactly": (Level.STAGES, UNLIMITED),
    "qtrace, full": (Level.FULL, UNLIMITED),
}
_STAGES, _FULL = "bpftrace, the functions of stages", "bpftrace, the functions of full"
_FUNCCOUNT, _FUNCLATENCY = "funccount, those exported", "funclatency, those exported"
_CHOICES = (_NONE, *_OURS, _STAGES, _FULL, _FUNCCOUNT, _FUNCLATENCY)
_TRAFFIC = {"TCP": "Mbit/s", "small": "frames/s"}


@dataclass(frozen=True)
class Round:
    """One measurement: traffic by its name (bit/s and frames/s), seconds to attach and to detach, hits a
    second, seconds of processor that they take by calibration in one second, what was lost, the share of the
    time in which functions were counted."""

    traffic: dict[str, float]
    attach: float = 0.0
    detach: float = 0.0
    hits: dict[str, float] = field(default_factory=dict)
    load: dict[str, float] = field(default_factory=dict)
    lost: int = 0
    observed: dict[str, float] = field(default_factory=dict)


class Bench:
    """One guest, virtio-net on a tap, whose traffic to the host is measured in turn."""

    def __init__(
        self, network: Network, attacher: Attacher, paths: Sequence[Walked], cost: Cost, placement: Placement
    ) -> None:
        self._network, self._attacher, self._paths, self._cost = network, attacher, paths, cost
        self._probes: dict[Level, list[Probe]] = {}
        self._starts: dict[Probe, int] = {}
        for level in (Level.STAGES, Level.FULL):
            found, _ = placement.probes(paths, level)
            self._probes[level] = _once(probe for probe in found if probe.kind in ("uprobe", "uretprobe"))
            for probe in self._probes[level]:
                file = next(
                    step.file for path in paths for step in path.steps if step.function == probe.function
                )
                place = placement.locate(probe.function, file)
                assert place
                self._starts[probe] = place[1].offset
        self._binary = self._probes[Level.STAGES][0].binary

    def measure(self, choice: str) -> Round:
        """One round of `choice`: both kinds of traffic, one after the other."""
        if choice == _NONE:
            return Round({name: self._traffic(name) for name in _TRAFFIC})
        if choice in _OURS:
            return self._ours(*_OURS[choice])
        return self._theirs(choice)

    def _traffic(self, name: str) -> float:
        if name == "TCP":
            metrics, _ = tcp(self._network, Direction.TX, _SECONDS)
            return {metric: value for metric, value, _ in metrics}["throughput"]
        link = self._network.link
        before = self._frames()
        self._network.guest.sh(
            f"iperf3 -c {link.host_addr} -p {PORT} -u -b 0 -l {_SMALL} -t {_SECONDS} >/dev/null",
            timeout=_SECONDS + 60,
        )
        return (self._frames() - before) / _SECONDS

    def _frames(self) -> int:
        return self._network.device_counters()["tap"][1]["rx_packets"]

    def _ours(self, level: Level, budget: Budget) -> Round:
        pid = self._network.guest.pid
        traffic: dict[str, float] = {}
        hits: dict[str, float] = {}
        load: dict[str, float] = {}
        observed: dict[str, float] = {}
        lost = 0
        began = time.monotonic()
        with self._attacher.attach(pid, self._paths, level) as session:
            attached = time.monotonic() - began
            for name in _TRAFFIC:
                regulator = Regulator(session, budget, self._cost, lambda window: None)
                session.start()
                regulator.begin()
                traffic[name] = _meanwhile(lambda name=name: self._traffic(name), regulator)
                session.stop()
                regulator.end()
                seen = session.read()
                calls = sum(count.calls for count in seen.syscalls.values())
                hits[name] = (seen.hits + calls) / seen.seconds
                on = seen.seconds * observed[name]
                load[name] = sum(cost_of(seen, self._cost, on, seen.seconds)) / seen.seconds
                lost += sum(seen.lost.values()) + sum(seen.missed.values())
                observed[name] = 1 - min(1.0, regulator.off / seen.seconds)
                if regulator.pauses:
                    session.resume()
            before = time.monotonic()
        return Round(traffic, attached, time.monotonic() - before, hits, load, lost, observed)

    def _theirs(self, choice: str) -> Round:
        began = time.monotonic()
        with self._rival(choice) as rival:
            attached = time.monotonic() - began
            again = time.monotonic()
            traffic = {name: self._traffic(name) for name in _TRAFFIC}
            took = time.monotonic() - again
            before = time.monotonic()
            hits = rival.end() / took
        return Round(traffic, attached, time.monotonic() - before, dict.fromkeys(_TRAFFIC, hits))

    @contextlib.contextmanager
    def _rival(self, choice: str) -> Iterator[rivals.Rival]:
        pid = self._network.guest.pid
        if choice in (_STAGES, _FULL):
            probes = self._probes[Level.FULL if choice == _FULL else Level.STAGES]
            with rivals.bpftrace(pid, probes, self._starts) as rival:
                yield rival
        else:
            tool = rivals.funccount if choice == _FUNCCOUNT else rivals.funclatency
            names = rivals.exported(self._binary, self._probes[Level.STAGES])
            with tool(pid, self._binary, names) as rival:
                yield rival


def _once(probes: Iterator[Probe]) -> list[Probe]:
    """A function that both directions share is one for other tools."""
    return list({(probe.binary, probe.function): probe for probe in probes}.values())


def _meanwhile(traffic: Callable[[], float], regulator: Regulator) -> float:
    """The traffic's rate, with the regulator at work as `record` has it."""
    found: list[float] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(traffic())
        except BaseException as exc:
            failed.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive():
        regulator.run(0.1)
    thread.join()
    if failed:
        raise failed[0]
    return found[0]


def measure(rounds: int) -> tuple[dict[str, list[Round]], Cost]:
    """Choice -> its rounds; in each round all choices, in an order of its own."""
    index, _ = ensure_index()
    ways = [walk(index, "virtio-net-pci", "tap", direction=way) for way in Direction]
    found: dict[str, list[Round]] = {choice: [] for choice in _CHOICES}
    order = random.Random(1)
    with (
        open_engine() as engine,
        open_network("virtio-net-pci", "tap", "qemu", choose_accelerator()) as network,
        serve(network.space, SERVER, PORT),
    ):
        cost = engine.calibrate()
        placement = Placement(index, Target(network.guest.pid).libraries())
        bench = Bench(network, Attacher(engine, index), ways, cost, placement)
        for choice in (_NONE, "qtrace, full"):
            bench.measure(choice)  # to warm up
        for number in range(rounds):
            for choice in order.sample(_CHOICES, len(_CHOICES)):
                found[choice].append(bench.measure(choice))
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return found, cost


def page(found: dict[str, list[Round]], cost: Cost) -> str:
    """The page."""
    plain = found[_NONE]
    facts = conditions(find_qemu(), choose_accelerator(), f"Linux {ensure_kernel().release}")
    said = subprocess.run(["bpftrace", "--version"], capture_output=True, text=True, check=True)
    lines = [
        "# What probing costs",
        "",
        "Generated by `make bench-overhead`; nothing here is typed in by hand.",
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        f"- bpftrace: {said.stdout.strip()}",
        f"- cost of a hit, calibrated: {cost}",
        f"- {len(plain)} rounds, interleaved in a random order, {_SECONDS} s for each kind of traffic; "
        "virtio-net-pci on tap, from the guest",
        "",
        "`counts` is all system calls, without a probe in QEMU; `stages` is what `record` attaches: both "
        "directions' stages with frames, bytes and times between them; `full` is every function of the path "
        "that has a place in the binary. Other tools count hits, funclatency times each call; bcc's tools "
        "find a function by exported name only, so static ones are not among theirs.",
        "",
        "A hit is a probe that ran, or a system call that was counted; other tools' are of both kinds "
        "of traffic together. `by calibration` is hits times what one costs in a loop, as a share of one "
        "processor: what --max-overhead limits on the mean, pauses included. `observed` is the share of the "
        "time in which functions were counted.",
    ]
    for name, unit in _TRAFFIC.items():
        what = "One TCP stream" if name == "TCP" else f"Datagrams of {_SMALL} bytes, as fast as they go"
        lines += [
            "",
            f"## {what}",
            "",
            f"| | {unit} | ratio to no probes | hits/s | cost of a hit, µs | by calibration | observed |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
            *(_row(choice, name, rounds, plain) for choice, rounds in found.items()),
            "",
            *(
                f"{ours} against {theirs}: {_interval(_ratio(found[ours], found[theirs], name))}."
                for ours, theirs in (("qtrace, full", _FULL), ("qtrace, stages exactly", _STAGES))
            ),
        ]
    lines += ["", "## Attaching and detaching", ""]
    lines += ["| | attach, s | detach, s | lost |", "| --- | ---: | ---: | ---: |"]
    for choice, rounds in found.items():
        if choice != _NONE:
            times = _mean([item.attach for item in rounds]), _mean([item.detach for item in rounds])
            lost = str(sum(item.lost for item in rounds)) if choice in _OURS else ""
            lines.append(f"| {choice} | {times[0]:.2f} | {times[1]:.2f} | {lost} |")
    return "\n".join(lines) + "\n"


def _row(choice: str, name: str, rounds: Sequence[Round], plain: Sequence[Round]) -> str:
    speed = _mean([item.traffic[name] for item in rounds]) / (1e6 if name == "TCP" else 1)
    if choice == _NONE:
        return f"| {choice} | {speed:,.0f} | 1 | | | | |"
    hits = _mean([item.hits[name] for item in rounds])
    # The time that is missing from the traffic, shared among the hits.
    pairs = zip(rounds, plain, strict=True)
    dear = _mean([1 - mine.traffic[name] / bare.traffic[name] for mine, bare in pairs])
    cells = [choice, f"{speed:,.0f}", _interval(_ratio(rounds, plain, name)), f"{hits:,.0f}"]
    cells.append(f"{1e6 * dear / hits:.2f}" if hits else "")
    loads = [item.load[name] for item in rounds if name in item.load]
    cells += [f"{_mean(loads):.1%}" if loads else ""]
    cells.append(f"{_mean([item.observed[name] for item in rounds]):.0%}" if choice in _OURS else "")
    return "| " + " | ".join(cells) + " |"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _ratio(rounds: Sequence[Round], others: Sequence[Round], name: str) -> Estimate:
    pairs = zip(rounds, others, strict=True)
    return ratio([(mine.traffic[name], other.traffic[name]) for mine, other in pairs])


def _interval(estimate: Estimate) -> str:
    return f"{estimate.mean:.3f} (95 %: {estimate.low:.3f} to {estimate.high:.3f})"


def main() -> None:
    text = page(*measure(int(sys.argv[1]) if len(sys.argv) > 1 else 7))
    (ROOT / "docs" / "overhead.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
