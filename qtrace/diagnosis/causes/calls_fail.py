"""System calls that carry frames fail: the host refuses them, and each is a frame that is lost."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.diagnosis.cause import Advice, Finding
from qtrace.diagnosis.observation import Nic, Observation
from qtrace.diagnosis.quantities import at_stage, share_of
from qtrace.model import Direction

LOOKS_AT = "failed system calls on the back end's descriptors, by errno"
THRESHOLD = (
    "Named from one call in a hundred and ten calls on. EAGAIN and interrupted calls are how a loop "
    "ends and are not counted."
)
_SHARE, _LEAST = 0.01, 10
_USUAL = ("EAGAIN", "EINTR", "EINPROGRESS", "ERESTARTSYS", "ERESTARTNOINTR", "ERESTARTNOHAND")
_MOVES = (
    "write",
    "writev",
    "sendto",
    "sendmsg",
    "sendmmsg",
    "read",
    "readv",
    "recvfrom",
    "recvmsg",
    "recvmmsg",
)
_MEANS = {
    "EIO": ("the tap's interface is down", "bring it up: ip link set dev TAP up"),
    "EBADFD": ("the tap has no interface any more", "make the tap anew and start QEMU with it"),
    "EINVAL": ("the host does not take frames of this kind", "compare header, offloads and MTU of both ends"),
    "ENOBUFS": (
        "the host has no buffers left for it",
        "raise net.core.wmem_max, or see what fills its queue",
    ),
    "ENOMEM": ("the host has no memory left for it", "see the host's memory and the cgroup's limit"),
    "ECONNREFUSED": ("nobody listens at the other end", "start the program that QEMU's socket is meant for"),
    "EPIPE": ("the other end has gone", "start the program that QEMU's socket is meant for"),
    "ENOTCONN": ("the other end has gone", "start the program that QEMU's socket is meant for"),
    "ENOENT": ("the socket's file is not there", "start the program that QEMU's socket is meant for"),
    "EMSGSIZE": (
        "frames are larger than the way to the other end takes",
        "lower the MTU of the guest (host_mtu=)",
    ),
    "EPERM": ("a packet filter of the host refuses them", "see the host's nft or iptables rules"),
    "ENETUNREACH": ("the host has no route there", "see the routes in QEMU's network namespace"),
    "EHOSTUNREACH": ("the host cannot reach the other end", "see the routes in QEMU's network namespace"),
}


def look(seen: Observation) -> Iterator[Finding]:
    for nic in seen.nics:
        made: dict[tuple[str, str], int] = {}
        for row in nic.rows("syscalls"):
            key = row["name"], row["fd"]
            made[key] = made.get(key, 0) + int(row["calls"])
        failed: dict[tuple[str, str, str], int] = {}
        for row in nic.rows("errnos"):
            if row["errno"] not in _USUAL and row["fd"] in ("tap", "socket") and row["name"] in _MOVES:
                three = row["name"], row["fd"], row["errno"]
                failed[three] = failed.get(three, 0) + int(row["count"])
        for (name, fd, errno), count in failed.items():
            whole = max(made.get((name, fd), 0), count)
            if count >= max(_LEAST, _SHARE * whole):
                yield _finding(nic, name, fd, errno, count, whole)


def _finding(nic: Nic, name: str, fd: str, errno: str, count: int, whole: int) -> Finding:
    meaning, remedy = _MEANS.get(errno, ("the host refuses them", "see errno(3) for what it means"))
    way = Direction.TX if name.startswith(("write", "send")) else Direction.RX
    share = count / whole
    return Finding(
        nic.title,
        "breaks" if share > 0.5 else "limits",
        0.9 * share,
        f"{name} on the {fd} fails with {errno}: {meaning}",
        [at_stage(share_of(count, whole, f"calls of {name} failed"), nic, nic.stage(way, "host"))],
        [Advice(remedy)],
        "certain" if errno in _MEANS else "likely",
        "each failed call was counted with its errno",
    )
