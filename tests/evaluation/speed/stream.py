"""Traffic from a guest that goes on while it is probed in turn, and its rate by the tap's own counters."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qtrace.lab.link.connection import Network
from qtrace.lab.workload.server import serve
from qtrace.lab.workload.tcp import PORT, SERVER
from qtrace.trace.qemu.target import Target

__all__ = ["SMALL", "TCP", "Passed", "Stream", "stream"]

TCP, SMALL = "One TCP stream", "Datagrams of 64 bytes, as fast as they go"
_CLIENT = {TCP: "", SMALL: " -u -b 0 -l 64"}
_LONGEST = 86400  # seconds; it is ended before
_DEADLINE = 60.0


@dataclass(frozen=True)
class Passed:
    """What the kernel counts in every window, with probes or without: frames of the tap, read and write calls
    of QEMU's threads, seconds."""

    frames: int
    transfers: int
    seconds: float


class Stream:
    """One kind of traffic, made by `stream`."""

    def __init__(self, network: Network, kind: str) -> None:
        self._network, self.kind = network, kind
        self._target = Target(network.guest.pid)
        self._before, self._used = self._now(), self._uses()

    @property
    def frames(self) -> int:
        """Since `begin`, or since it was made."""
        return self._now()[0] - self._before[0]

    def begin(self) -> None:
        """A window begins."""
        self._before, self._used = self._now(), self._uses()

    def passed(self) -> Passed:
        """Since `begin`."""
        frames, _, seconds = (now - then for now, then in zip(self._now(), self._before, strict=True))
        return Passed(int(frames), self._uses() - self._used, seconds)

    def _uses(self) -> int:
        """Read and write calls of all threads since they began."""
        return sum(one.transfers or 0 for one in self._target.threads().values())

    def rate(self) -> float:
        """Since `begin`: bit/s of TCP, else frames/s. Raises SystemExit where nothing passes."""
        frames, data, when = (now - then for now, then in zip(self._now(), self._before, strict=True))
        if not frames:
            raise SystemExit(f"{self.kind}: nothing has passed in {when:.1f} s")
        return (8 * data if self.kind == TCP else frames) / when

    def _now(self) -> tuple[int, int, float]:
        counters = self._network.device_counters()["tap"][1]
        return counters["rx_packets"], counters["rx_bytes"], time.monotonic()


@contextlib.contextmanager
def stream(network: Network, kind: str) -> Iterator[Stream]:
    """It flows while the block runs. The guest's processors have one of the host's for themselves; QEMU's
    other threads, the server and this process have the others: else the scheduler's choices are most of what
    is measured."""
    link, guest = network.link, network.guest
    *others, last = sorted(os.sched_getaffinity(0))
    if not others:
        raise SystemExit("one processor is too few to tell what probing costs")
    with serve(network.space, SERVER, PORT) as server:
        client = f"iperf3 -c {link.host_addr} -p {PORT} -t {_LONGEST}{_CLIENT[kind]}"
        guest.sh(f"{client} </dev/null >/dev/null 2>&1 &")
        try:
            for task in Path(f"/proc/{guest.pid}/task").iterdir():
                of_guest = (task / "comm").read_text().startswith("CPU ")
                os.sched_setaffinity(int(task.name), {last} if of_guest else others)
            for pid in (server.pid, os.getpid()):
                os.sched_setaffinity(pid, others)
            found = Stream(network, kind)
            deadline = time.monotonic() + _DEADLINE
            while found.frames < 10_000:
                if time.monotonic() > deadline:
                    raise SystemExit(f"{kind}: it does not begin")
                time.sleep(0.1)
            yield found
        finally:
            os.sched_setaffinity(0, {*others, last})
            guest.try_sh("killall iperf3")
