"""What probing costs a guest's traffic, ours at each level beside other tools: `make bench-overhead`.

    PYTHONPATH=tests/evaluation python tests/evaluation/speed/overhead.py ROUNDS

Writes docs/overhead.md. Nothing else may run on the machine meanwhile. Needs root, bcc, bpftrace and
bpfcc-tools.
"""

from __future__ import annotations

import contextlib
import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import overhead_page
import rivals
from rounds import (
    BPFTRACE_FULL,
    BPFTRACE_STAGES,
    CHOICES,
    CLOSELY,
    EMPTIES,
    EMPTY,
    FULL,
    FUNCCOUNT,
    NONE,
    OURS,
    SECONDS,
    Found,
    Round,
)
from stream import SMALL, TCP, Stream, stream

from qtrace.index.build import ensure_index
from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.link.connection import open_network
from qtrace.measure.attacher import Attacher
from qtrace.measure.placement import Placement
from qtrace.model import Direction, Probe
from qtrace.model import Path as Walked
from qtrace.path.walk import walk
from qtrace.trace.bpf.attachments import Attachments
from qtrace.trace.bpf.calibrate import Cost
from qtrace.trace.bpf.compiled import make_module
from qtrace.trace.bpf.prerequisites import ensure_headers
from qtrace.trace.budget.overhead_budget import cost_of
from qtrace.trace.budget.regulator import Regulator
from qtrace.trace.qemu.target import Target
from qtrace.trace.session.engine import open_engine
from qtrace.trace.session.level import Level

_RETURNS = "int nothing(void *ctx) { return 0; }"
_SETTLES = 0.1  # seconds after the last change of probes


class Bench:
    """One guest, virtio-net on a tap, whose traffic to the host is measured in turn."""

    def __init__(
        self, pid: int, attacher: Attacher, paths: Sequence[Walked], cost: Cost, placement: Placement
    ) -> None:
        self._pid, self._attacher, self._paths, self._cost = pid, attacher, paths, cost
        self._nothing: Any = None
        self._returns: Any = None
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

    def measure(self, choice: str, traffic: Stream, seconds: float) -> Round:
        """One window of `choice`."""
        if choice == NONE:
            time.sleep(_SETTLES)
            traffic.begin()
            time.sleep(seconds)
            return Round(traffic.rate(), passed=traffic.passed())
        if choice == EMPTY:
            return self._empty(traffic, seconds)
        if choice in EMPTIES:
            return self._empty_at(OURS[EMPTIES[choice]][0], traffic, seconds)
        return (self._ours if choice in OURS else self._theirs)(choice, traffic, seconds)

    def _ours(self, choice: str, traffic: Stream, seconds: float) -> Round:
        level, budget = OURS[choice]
        began = time.monotonic()
        with self._attacher.attach(self._pid, self._paths, level) as session:
            attached = time.monotonic() - began
            time.sleep(_SETTLES)
            regulator = Regulator(session, budget, self._cost, lambda window: None)
            session.start()
            regulator.begin()
            traffic.begin()
            regulator.run(seconds)
            rate, passed = traffic.rate(), traffic.passed()
            session.stop()
            regulator.end()
            seen = session.read()
            before = time.monotonic()
        detached = time.monotonic() - before
        calls = sum(count.calls for count in seen.syscalls.values())
        observed = 1 - min(1.0, regulator.off / seen.seconds)
        load = sum(cost_of(seen, self._cost, seen.seconds * observed, seen.seconds)) / seen.seconds
        lost = sum(seen.lost.values()) + sum(seen.missed.values())
        hits = (seen.hits + calls) / seen.seconds
        return Round(rate, attached, detached, hits, load, lost, observed, passed)

    def _empty(self, traffic: Stream, seconds: float) -> Round:
        import bcc

        self._nothing = self._nothing or bcc.BPF(text=b"int nothing(void *ctx) { return 0; }")
        self._nothing.attach_raw_tracepoint(tp=b"sys_exit", fn_name=b"nothing")
        try:
            time.sleep(_SETTLES)
            traffic.begin()
            time.sleep(seconds)
            return Round(traffic.rate(), passed=traffic.passed())
        finally:
            self._nothing.detach_raw_tracepoint(b"sys_exit")

    def _empty_at(self, level: Level, traffic: Stream, seconds: float) -> Round:
        """Probes on the functions of `level` that return at once, attached as qtrace's."""
        if self._returns is None:
            self._returns, _ = make_module(_RETURNS, ensure_headers())
        began = time.monotonic()
        with contextlib.closing(Attachments(self._returns, self._pid)) as attached:
            for probe in self._probes[level]:
                at_return = probe.kind == "uretprobe"
                attached.uprobe("nothing", Path(probe.binary), probe.offset, at_return)
            took = time.monotonic() - began
            time.sleep(_SETTLES)
            traffic.begin()
            time.sleep(seconds)
            rate, passed = traffic.rate(), traffic.passed()
            before = time.monotonic()
        return Round(rate, took, time.monotonic() - before, passed=passed)

    def _theirs(self, choice: str, traffic: Stream, seconds: float) -> Round:
        began = time.monotonic()
        with self._rival(choice) as rival:
            attached = time.monotonic() - began
            again = time.monotonic()
            time.sleep(_SETTLES)
            traffic.begin()
            time.sleep(seconds)
            rate, passed = traffic.rate(), traffic.passed()
            took = time.monotonic() - again
            before = time.monotonic()
            hits = rival.end() / took
        return Round(rate, attached, time.monotonic() - before, hits, passed=passed)

    @contextlib.contextmanager
    def _rival(self, choice: str) -> Iterator[rivals.Rival]:
        if choice in (BPFTRACE_STAGES, BPFTRACE_FULL):
            probes = self._probes[Level.FULL if choice == BPFTRACE_FULL else Level.STAGES]
            with rivals.bpftrace(self._pid, probes, self._starts) as rival:
                yield rival
        else:
            tool = rivals.funccount if choice == FUNCCOUNT else rivals.funclatency
            names = rivals.exported(self._binary, self._probes[Level.STAGES])
            with tool(self._pid, self._binary, names) as rival:
                yield rival


def _once(probes: Iterator[Probe]) -> list[Probe]:
    """A function that both directions share is one for other tools."""
    return list({(probe.binary, probe.function): probe for probe in probes}.values())


def _measure(bench: Bench, traffic: Stream, rounds: int) -> Found:
    """In each round all choices, in an order of its own; then the close pairs, the two of each likewise."""
    found = Found()
    order = random.Random(1)
    for choice in (NONE, FULL):
        bench.measure(choice, traffic, 1.0)  # to warm up
    for number in range(rounds):
        for choice in order.sample(CHOICES, len(CHOICES)):
            found.rounds[choice].append(bench.measure(choice, traffic, SECONDS))
        print(f"{traffic.kind}: round {number + 1} of {rounds}", file=sys.stderr)
    for choice, (pairs, seconds) in CLOSELY.items():
        print(f"{traffic.kind}: {choice}, {pairs} pairs", file=sys.stderr)
        for _ in range(pairs):
            two = order.sample((choice, NONE), 2)
            rates = {one: bench.measure(one, traffic, seconds).rate for one in two}
            found.pairs.setdefault(choice, []).append((rates[choice], rates[NONE]))
    return found


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    index, _ = ensure_index()
    ways = [walk(index, "virtio-net-pci", "tap", direction=way) for way in Direction]
    with (
        open_engine() as engine,
        open_network("virtio-net-pci", "tap", "qemu", choose_accelerator()) as network,
    ):
        cost = engine.calibrate()
        pid = network.guest.pid
        bench = Bench(pid, Attacher(engine, index), ways, cost, Placement(index, Target(pid).libraries()))
        found = {}
        for kind in (TCP, SMALL):
            with stream(network, kind) as traffic:
                found[kind] = _measure(bench, traffic, rounds)
    overhead_page.write(found, cost)


if __name__ == "__main__":
    main()
