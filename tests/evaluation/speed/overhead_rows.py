"""A table of docs/overhead.md: what each way of probing costs one kind of traffic, or why it is unknown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rounds import EMPTIES, NONE, OURS, Found, Round
from stream import TCP

from qtrace.analyses.methods.stats import Estimate, ratio
from qtrace.analyses.methods.traffic_change import (
    CHANGED,
    RATE,
    Change,
    Compared,
    Ratio,
    changes,
    is_only_a_cost,
)

__all__ = ["changes_of", "interval", "mean", "rate_ratio", "rows"]


def rows(kind: str, found: Found) -> Iterator[str]:
    """The table's rows, and below it what of the traffic probing changed."""
    for choice in found.rounds:
        yield _row(choice, kind, found)
    yield ""
    yield from _changes(found)


def _row(choice: str, kind: str, found: Found) -> str:
    rounds, plain = found.rounds[choice], found.rounds[NONE]
    speed = mean([item.rate for item in rounds]) / (1e6 if kind == TCP else 1)
    if choice == NONE:
        return f"| {choice} | {speed:,.0f} | 1 | | | | |"
    hits = _hits(choice, found)
    # The time that is missing from the traffic, shared among the hits.
    missing = mean([1 - mine.rate / bare.rate for mine, bare in zip(rounds, plain, strict=True)])
    cells = [choice, f"{speed:,.0f}", interval(rate_ratio(rounds, plain)), f"{hits:,.0f}"]
    cost = is_only_a_cost(changes_of(rounds, plain))
    cells.append((f"{1e6 * missing / hits:.2f}" if cost else "-") if hits else "")
    if choice in OURS:
        cells += [f"{mean([item.load for item in rounds]):.1%}"]
        cells += [f"{mean([item.observed for item in rounds]):.0%}"]
    else:
        cells += ["", ""]
    return "| " + " | ".join(cells) + " |"


def _hits(choice: str, found: Found) -> float:
    """A second. An empty program counts none: they are as many for each bit or frame as ours have been."""
    rounds = found.rounds[choice]
    if choice not in EMPTIES:
        return mean([item.hits for item in rounds])
    ours = found.rounds[EMPTIES[choice]]
    return mean([item.hits / item.rate for item in ours]) * mean([item.rate for item in rounds])


def changes_of(rounds: Sequence[Round], plain: Sequence[Round]) -> list[Change]:
    """What of the traffic differs from that without probes, by what the kernel counts in both."""

    def both(measure: str, above: str, below: str) -> Compared:
        two = (
            Ratio(
                ((getattr(one.passed, above), getattr(one.passed, below)) for one in some if one.passed),
                timed=below == "seconds",
            )
            for some in (plain, rounds)
        )
        return Compared(measure, *two)

    return changes(
        [
            both(RATE, "frames", "seconds"),
            both("read and write calls a frame", "transfers", "frames"),
        ]
    )


def _changes(found: Found) -> list[str]:
    """In words, of each choice that ran in another traffic."""
    lines = []
    for choice, rounds in found.rounds.items():
        if choice != NONE and not is_only_a_cost(differ := changes_of(rounds, found.rounds[NONE])):
            said = "; ".join(f"{change} ({change.interval})" for change in differ)
            lines += [f"With {choice} {CHANGED}, so there is no cost of a hit: {said}.", ""]
    return lines


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def rate_ratio(rounds: Sequence[Round], others: Sequence[Round]) -> Estimate:
    return ratio([(mine.rate, other.rate) for mine, other in zip(rounds, others, strict=True)])


def interval(estimate: Estimate) -> str:
    return f"{estimate.mean:.3f} (95 %: {estimate.low:.3f} to {estimate.high:.3f})"
