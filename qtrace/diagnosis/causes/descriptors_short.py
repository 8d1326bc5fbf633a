"""The process has no descriptors left: libslirp opens a socket for each of the guest's connections."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.diagnosis.cause import Advice, Evidence, Finding
from qtrace.diagnosis.observation import Observation
from qtrace.diagnosis.quantities import counted, share_of, state

LOOKS_AT = "open descriptors against the limit"
THRESHOLD = (
    "Named where four fifths of the limit are in use, or a call has failed with EMFILE: connections "
    "of a guest come in bunches, and the fifth that is left is some hundred of the usual 1,024."
)
_SHARE = 0.8
_FULL = ("EMFILE", "ENFILE")


def look(seen: Observation) -> Iterator[Finding]:
    now = seen.end.get("descriptors", {})
    opened, limit = now.get("open"), now.get("limit")
    failed = sum(int(row["count"]) for row in seen.rows("errnos") if row["errno"] in _FULL)
    if not failed and (not opened or not limit or opened < _SHARE * limit):
        return
    evidence = list(_evidence(seen, failed))
    users = [nic.title for nic in seen.nics if nic.netdev in ("user", "passt")]
    yield Finding(
        ", ".join(users) or "the process",
        "breaks" if failed else "limits",
        0.9 if failed else 0.8,
        "QEMU has no descriptors left for the guest's connections"
        if failed
        else "QEMU has few descriptors left for the guest's connections",
        evidence,
        [
            Advice("raise the limit of the process that runs", "prlimit --nofile=65536 --pid PID"),
            Advice("and of what starts it", "ulimit -n 65536 (or LimitNOFILE= of its unit)"),
        ],
        "certain",
        "the kernel's own account of the process",
    )


def _evidence(seen: Observation, failed: int) -> Iterator[Evidence]:
    now = seen.end.get("descriptors", {})
    if now.get("open") and now.get("limit"):
        sockets = now.get("sockets") or 0
        yield state(f"{now['open']:,} of {now['limit']:,} descriptors are open, {sockets:,} of them sockets")
    calls = sum(int(row["calls"]) for row in seen.rows("syscalls") if row["name"] == "socket")
    if failed and calls >= failed:
        yield share_of(failed, calls, "calls of socket failed with EMFILE")
    elif failed:
        yield counted(failed, "calls that failed with EMFILE or ENFILE")
