"""Small frames, each by a system call of its own, and the thread that makes the calls has no time left.

QEMU reads and writes a tap or a socket frame by frame (net/tap.c, tap_send; net/dgram.c), and libslirp
makes a call for each datagram: then the calls are what limits the frames a second.
"""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.diagnosis.cause import Advice, Finding
from qtrace.diagnosis.observation import Nic, Observation
from qtrace.diagnosis.quantities import at_stage, per_second, per_unit, state
from qtrace.diagnosis.traffic import mean_bytes
from qtrace.model import Direction

LOOKS_AT = "frames for each system call, and bytes a frame"
THRESHOLD = (
    "Named where frames are of 600 bytes and less, at most 1.2 of them go by a call, and the thread "
    "that makes the calls wants a processor for four fifths of the window: below, the calls leave "
    "time enough."
)
_SMALL, _EACH, _WANTED = 600, 1.2, 0.8
_LEAST = 100  # frames a second
_MOVES = {
    Direction.TX: ("write", "writev", "sendto", "sendmsg", "sendmmsg"),
    Direction.RX: ("read", "readv", "recvfrom", "recvmsg", "recvmmsg"),
}


def look(seen: Observation) -> Iterator[Finding]:
    threads = {thread.tid: thread for thread in seen.threads()}
    for nic in seen.nics:
        for way in Direction:
            row, calls = nic.carried(way), _calls(nic, way)
            if row is None or not calls or row["frames"] < _LEAST * max(seen.seconds, 1.0):
                continue
            busiest = max(calls, key=lambda tid: calls[tid])
            thread, number = threads.get(busiest), sum(calls.values())
            if mean_bytes(row) > _SMALL or row["frames"] > _EACH * number:
                continue
            if thread is None or thread.wanted < _WANTED:
                continue
            yield Finding(
                nic.title,
                "limits",
                0.8,
                f"small frames {way.value} cross QEMU by a system call each, and {thread.name} has no "
                "time left",
                [
                    at_stage(per_unit(row, "frames", number, "frames a call"), nic, row),
                    per_unit(row, "bytes", row["frames"], "bytes a frame"),
                    per_second(row["frames"], seen.seconds, "frames"),
                    state(f"{thread.name} ran {thread.ran:.0%} of the window and wanted {thread.wanted:.0%}"),
                ],
                list(_remedies(nic)),
                "likely",
                "calls that were counted and the thread's CPU time",
            )
            break


def _calls(nic: Nic, way: Direction) -> dict[int, int]:
    """Thread id -> calls that move frames this way."""
    found: dict[int, int] = {}
    for row in nic.rows("syscalls"):
        if row["fd"] in ("tap", "socket") and row["name"] in _MOVES[way]:
            found[row["tid"]] = found.get(row["tid"], 0) + int(row["calls"]) - int(row["errors"])
    return found


def _remedies(nic: Nic) -> Iterator[Advice]:
    if nic.netdev == "tap" and nic.virtio:
        yield Advice(
            "let the kernel carry the frames: it takes a ring's frames together", "-netdev tap,vhost=on"
        )
    else:
        yield Advice("use a tap with vhost=on: the kernel takes a ring's frames together")
    yield Advice("send fewer and larger frames")
