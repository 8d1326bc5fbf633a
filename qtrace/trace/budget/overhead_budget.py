"""The share of a processor that probing may take, and the share that it takes."""

from __future__ import annotations

from dataclasses import dataclass

from qtrace.trace.bpf.calibrate import Cost, Price
from qtrace.trace.session.level import Level
from qtrace.trace.session.snapshot import Snapshot

__all__ = ["UNLIMITED", "Budget", "cost_of", "default_budget"]

_NONE = "none"


@dataclass(frozen=True, slots=True)
class Budget:
    """`share` of one processor that probes may take on average; None means no limit, and exact counts.

    The share is of one processor, not of all that QEMU uses, because its main loop is one thread: if that
    thread limits the traffic, this is the share of the throughput that is lost.
    """

    share: float | None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Parse `5`, `5%`, `0.5 %` or `none`. Raises ValueError with a message for the user."""
        if text.strip().lower() == _NONE:
            return UNLIMITED
        try:
            percent = float(text.strip().removesuffix("%"))
        except ValueError:
            raise ValueError(f"{text!r} is neither a percentage such as 5% nor {_NONE!r}") from None
        if percent == 0:
            raise ValueError(
                f"0 would allow no probe: {_NONE!r} is exact counts at any cost, --level counts is no probe"
            )
        if not 0.1 <= percent <= 100:
            raise ValueError(f"{text!r} is not between 0.1% and 100% of a processor; {_NONE!r} is no limit")
        return cls(percent / 100)

    def __str__(self) -> str:
        return _NONE if self.share is None else f"{100 * self.share:g} % of one processor"


UNLIMITED = Budget(None)


def default_budget(level: Level) -> Budget:
    """5 % for stages; none for `full`, whose user wants all functions, and for always counted system
    calls."""
    return Budget(0.05) if level is Level.STAGES else UNLIMITED


def cost_of(counted: Snapshot, cost: Cost, on: float, seconds: float) -> tuple[float, float]:
    """Processor seconds that probing has taken: (probes of functions, system calls).

    The counts are from `seconds`, those of functions from `on` of them.
    """
    stepped = sum(
        count.calls for (_, slot), count in counted.counts.items() if counted.stages[slot].probe.stepped
    )
    calls = sum(count.calls for count in counted.syscalls.values())
    functions = _taken(cost.hit, counted.hits, on) + stepped * cost.step
    return functions, _taken(cost.call, calls, seconds)


def _taken(price: Price, events: int, seconds: float) -> float:
    return events * price.at(seconds / events) if events else 0.0
