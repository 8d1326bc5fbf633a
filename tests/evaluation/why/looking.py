"""What `qtrace why` costs a guest beside `qtrace record`, and how soon after its window it ends.

Both are started as commands, in turns, on one guest (virtio-net on a tap) whose traffic goes on meanwhile;
the traffic's rate is that of the seconds in which they count.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from paired import median_ratio
from stream import SMALL, TCP, Stream, stream

from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.link.connection import open_network

__all__ = ["KEPT", "Looked", "kept", "looking_table", "measure"]

KEPT = Path(__file__).with_name("looking.json")
SECONDS, PAIRS = 3.0, 12
WHY, RECORD = "why", "record"
_COUNTING = "counting in"
_MARGIN = 0.2  # seconds at the window's end that the rate leaves out


@dataclass(frozen=True)
class Looked:
    """Of one kind of traffic: pairs of rates (with why, with record), and the seconds from the window's end
    to the command's, of each why."""

    traffic: str
    pairs: tuple[tuple[float, float], ...]
    after: tuple[float, ...]


def measure() -> None:
    """Measure, and keep it."""
    found = []
    with open_network("virtio-net-pci", "tap", "qemu", choose_accelerator()) as network:
        for kind in (TCP, SMALL):
            with stream(network, kind) as traffic:
                found.append(_of(traffic, network.guest.pid))
    KEPT.write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n")


def kept() -> list[Looked]:
    """What was measured last."""
    rows = json.loads(KEPT.read_text())
    return [Looked(row["traffic"], tuple(map(tuple, row["pairs"])), tuple(row["after"])) for row in rows]


def looking_table() -> Iterator[str]:
    """The page's section."""
    yield "## What looking costs"
    yield ""
    yield (
        f"Pairs of commands in turns, {SECONDS:g} s each, in a random order: `why` and `record` "
        "with its default budget, on a virtio-net guest on a tap whose traffic goes on. The ratio is the "
        "traffic's rate while `why` counts to that while `record` does: the median, with the interval that "
        "their order gives."
    )
    yield ""
    yield "| traffic | pairs | rate with why to rate with record | why ends after its window, at most |"
    yield "| --- | ---: | ---: | ---: |"
    for one in kept():
        ratio = median_ratio(one.pairs)
        said = f"{ratio.mean:.3f} (95 %: {ratio.low:.3f} to {ratio.high:.3f})"
        yield f"| {one.traffic} | {len(one.pairs)} | {said} | {max(one.after):.1f} s |"


def _of(traffic: Stream, pid: int) -> Looked:
    order, pairs, after = random.Random(1), [], []
    for number in range(PAIRS + 1):
        rates = {}
        for what in order.sample((WHY, RECORD), 2):
            rates[what], took = _run(what, pid, traffic)
            if what == WHY and number:
                after.append(took)
        if number:  # the first is to warm up
            pairs.append((rates[WHY], rates[RECORD]))
        print(f"{traffic.kind}: pair {number} of {PAIRS}", file=sys.stderr, flush=True)
    return Looked(traffic.kind, tuple(pairs), tuple(after))


def _run(what: str, pid: int, traffic: Stream) -> tuple[float, float]:
    """(the rate while it counts, seconds from its window's end to its own)."""
    with tempfile.TemporaryDirectory(prefix="qtrace-looking-") as folder:
        option = "--seconds" if what == WHY else "--duration"
        argv = [sys.executable, "-m", "qtrace", what, str(pid), option, str(SECONDS), "-o", f"{folder}/run"]
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr
            for line in process.stderr:
                if _COUNTING in line:
                    break
            began = time.monotonic()
            traffic.begin()
            time.sleep(SECONDS - _MARGIN)
            rate = traffic.rate()
            rest = process.stderr.read()
            if process.wait() != 0:
                raise SystemExit(f"qtrace {what} failed: {rest}")
            return rate, time.monotonic() - began - SECONDS
