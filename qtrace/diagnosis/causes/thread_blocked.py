"""A thread of QEMU that stands in one system call, on a descriptor that blocks.

QEMU's main loop and the guest's processors wait for nothing that is slow, because everything else waits for
them. A stream that QEMU has accepted blocks all the same (net/stream.c makes the listening and the connecting
socket non-blocking, and not the accepted one), so a far end that does not read holds the whole of QEMU. A
pipe or terminal that a serial port writes to, or a vhost-user program that does not answer, does so too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qtrace.diagnosis.cause import Advice, Evidence, Finding
from qtrace.diagnosis.observation import Nic, Observation
from qtrace.diagnosis.quantities import share_of, state

LOOKS_AT = "in which system calls QEMU's threads stand, and whether their descriptors block"
THRESHOLD = (
    "Named where the thread that stands in a call on a blocking descriptor carries the NIC's frames, runs "
    "the main loop or a guest's processor, and was found so in half of the looks (five a second) and at "
    "least three: a write that takes its time now and then is how two ends keep pace."
)
_SHARE, _LEAST, _ALWAYS = 0.5, 3, 0.9
_SENDS = ("write", "writev", "sendto", "sendmsg", "sendmmsg", "pwrite64", "pwritev")
# A guest's processor under KVM stands in ioctl as long as it runs.
_USUAL = ("ioctl",)


def look(seen: Observation) -> Iterator[Finding]:
    rows, looks = seen.stood_in()
    for row in rows:
        if row["descriptor"] < 0 or not row["blocking"] or row["call"] in _USUAL:
            continue
        nic = _nic_of(seen, row["descriptor"])
        needed = nic is not None or row["main"] or row["thread"].startswith("CPU ")
        if needed and row["seen"] >= max(_LEAST, _SHARE * looks):
            yield _finding(row, looks, nic, _behind(rows, row, looks))


def _nic_of(seen: Observation, descriptor: int) -> Nic | None:
    for nic in seen.nics:
        if descriptor in {queue["far"]["descriptor"] for queue in nic.queues()}:
            return nic
    return None


def _behind(rows: Sequence[Mapping[str, Any]], held: Mapping[str, Any], looks: int) -> Iterator[Evidence]:
    """Threads that wait for a lock in as many looks: QEMU's own lock, which the held thread has."""
    for row in rows:
        needed = row["main"] or row["thread"].startswith("CPU ")
        if needed and row["call"] == "futex" and row["seen"] >= _SHARE * looks and row["tid"] != held["tid"]:
            yield share_of(row["seen"], looks, f"looks found {row['thread']} waiting for a lock (futex)")


def _finding(row: Mapping[str, Any], looks: int, nic: Nic | None, behind: Iterator[Evidence]) -> Finding:
    share, sends, fd = row["seen"] / looks, row["call"] in _SENDS, row["descriptor"]
    who = "QEMU's main thread" if row["main"] else f"QEMU's thread {row['thread']} ({row['tid']})"
    of = f"the {row['kind'] or 'descriptor'} of {nic.title}" if nic else row["kind"] or "a descriptor"
    other = "the other end does not read" if sends else "the other end says nothing"
    return Finding(
        nic.title if nic else who,
        "breaks" if share >= _ALWAYS else "limits",
        0.98 * share,
        f"{who} stands in {row['call']} on {of}, which blocks: {other}, and what needs this thread waits",
        [
            share_of(row["seen"], looks, f"looks found it in {row['call']} on descriptor {fd}"),
            state(f"descriptor {fd} is open without O_NONBLOCK"),
            *behind,
        ],
        list(_remedies(nic, sends)),
        "certain",
        "the kernel's own account of the thread and of the descriptor's flags",
    )


def _remedies(nic: Nic | None, sends: bool) -> Iterator[Advice]:
    does = "does not read" if sends else "does not answer"
    yield Advice(f"see what the program at the other end of it does: it {does}")
    if nic is not None and nic.netdev == "stream":
        yield Advice(
            "let QEMU connect, and that program listen: the socket then does not block",
            "-netdev stream,server=off,addr.type=…",
        )
