"""How much of a processor probing may take, and what it takes."""

from __future__ import annotations

from dataclasses import dataclass

from qtrace.trace.bpf.calibrate import Cost, Price
from qtrace.trace.session.level import Level
from qtrace.trace.session.snapshot import Snapshot

__all__ = ["UNLIMITED", "Budget", "cost_of", "default_budget"]

_NONE = "none"


@dataclass(frozen=True, slots=True)
class Budget:
    """`share` of one processor that probes may take on the mean; None is no limit, and exact counts.

    Of one processor, and not of all that QEMU uses, because its main loop is one thread: where that is
    what limits the traffic, this is the share of the throughput that is lost.
    """

    share: float | None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """`5`, `5%`, `0.5 %` or `none`. Raises ValueError in words for a person."""
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
    """5 % for the stages; whoever asks for everything wants it all, and system calls are always counted."""
    return Budget(0.05) if level is Level.STAGES else UNLIMITED


def cost_of(counted: Snapshot, cost: Cost, on: float, seconds: float) -> tuple[float, float]:
    """Seconds of processor time that probing has taken: (probes of functions, system calls).

    It was counted in `seconds`, functions in `on` of them.
    """
    stepped = sum(
        count.calls for (_, slot), count in counted.counts.items() if counted.stages[slot].probe.stepped
    )
    calls = sum(count.calls for count in counted.syscalls.values())
    functions = _taken(cost.hit, counted.hits, on) + stepped * cost.step
    return functions, _taken(cost.call, calls, seconds)


def _taken(price: Price, events: int, seconds: float) -> float:
    return events * price.at(seconds / events) if events else 0.0
