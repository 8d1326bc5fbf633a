"""Looking is itself too dear: what is counted here takes a good part of a processor from QEMU."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.diagnosis.cause import Advice, Finding
from qtrace.diagnosis.observation import Observation
from qtrace.diagnosis.quantities import counted, state

LOOKS_AT = "what the probes themselves cost"
THRESHOLD = (
    "Named from a tenth of a processor on, twice the default budget: with the budget on it cannot "
    "come about, so it is somebody's choice. What the budget has left out is a note, because counts "
    "are then estimates."
)
_SHARE = 0.1


def look(seen: Observation) -> Iterator[Finding]:
    share = seen.end.get("tracing", {}).get("share")
    if share is not None and share >= _SHARE:
        yield Finding(
            "qtrace itself",
            "limits",
            min(0.95, 0.6 + share),
            f"tracing takes {share:.0%} of a processor from QEMU: what is slow here may be its own doing",
            [state(f"{share:.1%} of a processor, by hits and what a hit costs here")],
            [
                Advice("look with a budget", "--max-overhead 5%"),
                Advice("or count without probes", "--level counts"),
            ],
            "likely",
            "the cost of a hit was measured at the start",
        )
    rows = [row for row in seen.rows("ledger") if row["kind"] in ("lost", "missed")]
    if rows:
        yield Finding(
            "qtrace itself",
            "note",
            0.1,
            "some of what passed was not seen: counts are too small",
            [counted(int(row["count"]), f"{row['kind']}: {row['item']}") for row in rows],
            [Advice("look again with fewer things measured", "--level stages")],
            "certain",
            "the ledger of the run",
        )
