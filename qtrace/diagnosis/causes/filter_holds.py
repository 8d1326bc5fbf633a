"""A netfilter on the way holds frames or drops them (net/filter.c)."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.diagnosis.cause import Advice, Finding
from qtrace.diagnosis.observation import Nic, Observation
from qtrace.diagnosis.quantities import share_of, state
from qtrace.model import Direction
from qtrace.trace.frames.reasons import BY_FILTER

LOOKS_AT = "netfilters, and frames that stop at them"
THRESHOLD = (
    "Named where a filter is on and at least a tenth of a direction's frames stop where it stands: one that "
    "only copies (filter-dump, filter-mirror) lets all of them pass and is not named."
)
_SHARE = 0.1


def look(seen: Observation) -> Iterator[Finding]:
    for nic in seen.nics:
        kinds = sorted({f"{item['kind'] or 'a filter'}" for item in _filters(nic)})
        for way in Direction:
            held = nic.stopped(way, BY_FILTER)
            sent = nic.stage(way, "send")
            whole = max(int(sent["frames"]) if sent else 0, held)
            if not kinds or not held or held < _SHARE * whole:
                continue
            yield Finding(
                nic.title,
                "breaks" if held > 0.9 * whole else "limits",
                0.95 * held / whole,
                f"{', '.join(kinds)} on the way holds or drops frames {_where(way)}",
                [
                    state(f"on at the window's end: {', '.join(kinds)}"),
                    share_of(held, whole, f"frames {way.value}"),
                ],
                [Advice("take it off (QMP: object-del), or switch it off", "qom-set /objects/ID status off")],
                "certain",
                "frames that were sent and not delivered while the filter is on",
            )


def _filters(nic: Nic) -> Iterator[dict[str, object]]:
    for queue in nic.queues():
        for side in ("near", "far"):
            yield from queue[side]["filters"]


def _where(way: Direction) -> str:
    return "from the guest" if way is Direction.TX else "to the guest"
