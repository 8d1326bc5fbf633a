"""What probing costs a guest's traffic, ours beside bpftrace on the same functions: `make bench-overhead`.

    python tests/speed/overhead.py ROUNDS

Writes docs/overhead.md. Nothing else may run on the machine meanwhile. Needs root, bcc and bpftrace.
"""

from __future__ import annotations

import contextlib
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from qtrace.analyses.stats import Estimate, ratio
from qtrace.bench.attach import Attacher, Placement
from qtrace.bench.conditions import conditions
from qtrace.binary.elf import Elf
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
from qtrace.trace.engine import open_engine
from qtrace.trace.target import Target

ROOT = Path(__file__).parent.parent.parent
_SECONDS = 5.0
_CHOICES = ("no probes", "qtrace, stages", "bpftrace, the same functions")
_COUNTED = re.compile(r"^@\[?[^:]*\]?: (\d+)$", re.MULTILINE)
_TIMEOUT = 60.0


class Round(NamedTuple):
    """One measurement: bit/s, seconds to attach and to detach, hits of all probes, what was lost."""

    throughput: float
    attach: float
    detach: float
    hits: int
    lost: int


class Bench:
    """One guest, virtio-net on a tap, whose TCP stream to the host is measured in turn."""

    def __init__(
        self, network: Network, attacher: Attacher, paths: Sequence[Walked], probes: list[Probe]
    ) -> None:
        self._network, self._attacher, self._paths = network, attacher, paths
        self._probes = probes

    def measure(self, choice: str) -> Round:
        """One round of `choice`."""
        if choice == "no probes":
            return Round(self._traffic(), 0.0, 0.0, 0, 0)
        return self._ours() if choice.startswith("qtrace") else self._theirs()

    def _traffic(self) -> float:
        metrics, _ = tcp(self._network, Direction.TX, _SECONDS)
        return {name: value for name, value, _ in metrics}["throughput"]

    def _ours(self) -> Round:
        began = time.monotonic()
        with self._attacher.attach(self._network.guest.pid, self._paths) as session:
            session.start()
            attached = time.monotonic()
            throughput = self._traffic()
            session.stop()
            seen = session.read()
            before = time.monotonic()
        hits = sum(count.calls for count in seen.counts.values())
        lost = sum(seen.lost.values()) + sum(seen.missed.values())
        return Round(throughput, attached - began, time.monotonic() - before, hits, lost)

    def _theirs(self) -> Round:
        began = time.monotonic()
        with self._bpftrace() as process:
            attached = time.monotonic()
            throughput = self._traffic()
            before = time.monotonic()
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=_TIMEOUT)
        hits = sum(int(number) for number in _COUNTED.findall(said))
        return Round(throughput, attached - began, time.monotonic() - before, hits, 0)

    @contextlib.contextmanager
    def _bpftrace(self) -> Iterator[subprocess.Popen[str]]:
        """bpftrace, attached: a count for each function that we probe in QEMU."""
        pid = self._network.guest.pid
        elfs = {probe.binary: Elf(Path(probe.binary)) for probe in self._probes}
        lines = ['BEGIN { printf("attached\\n"); }']
        for number, probe in enumerate(self._probes):
            address = _address(elfs[probe.binary], probe.offset)
            lines.append(f"{probe.kind}:{probe.binary}:{address:#x} {{ @[{number}] = count(); }}")
        process = subprocess.Popen(
            ["bpftrace", "--unsafe", "-p", str(pid), "-e", "\n".join(lines)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            said = ""
            assert process.stdout
            for line in process.stdout:
                said += line
                if line == "attached\n":
                    break
            else:
                raise SystemExit(f"bpftrace did not attach: {said}")
            yield process
        finally:
            process.kill()
            process.wait()


def _address(elf: Elf, offset: int) -> int:
    """The virtual address of what stands at a file offset."""
    for part in elf.segments:
        if part.offset <= offset < part.offset + part.size:
            return offset - part.offset + part.address
    raise SystemExit(f"{elf.path} has nothing at {offset:#x}")


def measure(rounds: int) -> dict[str, list[Round]]:
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
        probes, _ = Placement(index, Target(network.guest.pid).libraries()).probes(ways)
        ours = [probe for probe in probes if probe.kind in ("uprobe", "uretprobe")]
        bench = Bench(network, Attacher(engine, index), ways, ours)
        for choice in _CHOICES:
            bench.measure(choice)  # to warm up
        for number in range(rounds):
            for choice in order.sample(_CHOICES, len(_CHOICES)):
                found[choice].append(bench.measure(choice))
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return found


def page(found: dict[str, list[Round]]) -> str:
    """The page."""
    plain = found[_CHOICES[0]]
    facts = conditions(find_qemu(), choose_accelerator(), f"Linux {ensure_kernel().release}")
    said = subprocess.run(["bpftrace", "--version"], capture_output=True, text=True, check=True)
    lines = [
        "# What probing costs",
        "",
        "Generated by `make bench-overhead`; nothing here is typed in by hand.",
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        f"- bpftrace: {said.stdout.strip()}",
        f"- {len(plain)} rounds of {_SECONDS:.0f} s each, interleaved in a random order; one TCP stream "
        "from the guest, virtio-net-pci on tap",
        "",
        "`qtrace, stages` is what `record` attaches: both directions' stages and all system calls, with "
        "frames, bytes and times between stages. `bpftrace` counts hits of the same functions, nothing else.",
        "",
        "| | throughput, Mbit/s | ratio to no probes | hits/s | cost of a hit, µs | attach, s | detach, s "
        "| lost |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for choice, rounds in found.items():
        share = ratio([(mine.throughput, bare.throughput) for mine, bare in zip(rounds, plain, strict=True)])
        lines.append(_row(choice, rounds, plain, share))
    ours, theirs = found[_CHOICES[1]], found[_CHOICES[2]]
    against = ratio([(mine.throughput, other.throughput) for mine, other in zip(ours, theirs, strict=True)])
    lines += ["", f"qtrace against bpftrace: {_interval(against)}."]
    return "\n".join(lines) + "\n"


def _row(choice: str, rounds: Sequence[Round], plain: Sequence[Round], share: Estimate) -> str:
    def mean(values: Sequence[float]) -> float:
        return sum(values) / len(values)

    speed = mean([item.throughput for item in rounds]) / 1e6
    if choice == _CHOICES[0]:
        return f"| {choice} | {speed:.0f} | 1 | | | | | |"
    hits = mean([item.hits / _SECONDS for item in rounds])
    # The time that is missing from the stream, shared among the hits.
    dear = mean([1 - mine.throughput / bare.throughput for mine, bare in zip(rounds, plain, strict=True)])
    cells = [choice, f"{speed:.0f}", _interval(share), f"{hits:,.0f}"]
    cells += [f"{1e6 * dear / hits:.1f}" if hits else ""]
    cells += [f"{mean([getattr(item, name) for item in rounds]):.2f}" for name in ("attach", "detach")]
    lost = sum(item.lost for item in rounds)
    return "| " + " | ".join([*cells, str(lost) if choice == _CHOICES[1] else ""]) + " |"


def _interval(estimate: Estimate) -> str:
    return f"{estimate.mean:.3f} (95 %: {estimate.low:.3f} to {estimate.high:.3f})"


def main() -> None:
    text = page(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 7))
    (ROOT / "docs" / "overhead.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
