"""libslirp sends TCP segments again: the guest did not acknowledge them in time.

Each timeout is half a second and more in which its connection stands still (libslirp's tcp_timer.c).
"""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.diagnosis.cause import Advice, Finding
from qtrace.diagnosis.observation import Observation
from qtrace.diagnosis.quantities import counted_in
from qtrace.diagnosis.quantities import state as noted

LOOKS_AT = "segments that libslirp sends again"
THRESHOLD = (
    "Named from two timeouts in a window on: one may be a connection whose guest has gone; two are "
    "seconds that stood still."
)
_LEAST = 2


def look(seen: Observation) -> Iterator[Finding]:
    for nic in seen.nics:
        rows = [row for row in nic.rows("retransmissions") if row["attached"]]
        kinds = {row["kind"]: int(row["count"]) for row in rows}
        again = kinds.get("timeout", 0)
        if again < _LEAST:
            continue
        row = next(row for row in rows if row["kind"] == "timeout")
        share = nic.counted_share
        evidence = [counted_in(again, share, f"timeouts of libslirp's TCP in {seen.seconds:.0f} s")]
        if kinds.get("fast"):
            evidence.append(counted_in(kinds["fast"], share, "fast retransmissions"))
        if row["file"]:
            evidence.append(noted(f"counted at {row['function']}, {row['file']}:{row['line']}"))
        yield Finding(
            nic.title,
            "limits",
            min(0.9, 0.6 + 0.05 * again),
            "libslirp sends TCP segments to the guest again: they, or the guest's answers, are lost",
            evidence,
            [
                Advice("see what the guest loses: its NIC's drops, its processors' load"),
                Advice("for throughput use a tap or passt instead of user networking"),
            ],
            "certain",
            "counted in libslirp itself",
        )
