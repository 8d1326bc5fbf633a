"""Numbers of a window as evidence: each with its interval, or said to be exact."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from qtrace.analyses.methods.stats import proportion
from qtrace.diagnosis.cause import Evidence
from qtrace.diagnosis.observation import Nic

__all__ = [
    "at_stage",
    "counted",
    "counted_in",
    "measured",
    "per_second",
    "per_unit",
    "share_of",
    "state",
]


def state(text: str) -> Evidence:
    """Something that was read, and is no number of the window."""
    return Evidence(text)


def share_of(part: int, whole: int, of: str) -> Evidence:
    """`part` of `whole` as a share, with its interval after Wilson: what other windows like it would show.
    More than the whole is no share: counts that were scaled, or of a damaged run; then both are said."""
    if not 0 <= part <= whole:
        return Evidence(f"{part:,} against {whole:,} {of}: not counted alike, so there is no share")
    found = proportion(part, whole)
    text = f"{part:,} of {whole:,} {of} ({found.mean:.1%}, {found.low:.1%} to {found.high:.1%})"
    return Evidence(text, found.mean, found.low, found.high)


def counted(number: int, what: str) -> Evidence:
    """An exact count; `what` is a name for what was counted."""
    return Evidence(f"{what}: {number:,}", float(number), float(number), float(number))


def measured(row: Mapping[str, Any], name: str, what: str) -> Evidence:
    """A stage's column: exact where it was counted all the time, else scaled, with half of its interval from
    the row."""
    value, half = float(row[name]), float(row.get(f"{name}_error") or 0.0)
    if not half:
        return counted(int(value), what)
    low, high = max(0.0, value - half), value + half
    return Evidence(f"{what}: {value:,.0f} ({low:,.0f} to {high:,.0f})", value, low, high)


def counted_in(number: int, share: float, what: str) -> Evidence:
    """What was counted in a share of the window: no fewer, and nothing is known of the rest."""
    if share >= 1:
        return counted(number, what)
    text = f"{what}: {number:,}, counted in {share:.0%} of the window"
    return Evidence(text, float(number), float(number), None)


def per_second(number: int, seconds: float, what: str) -> Evidence:
    """A rate; the interval is that of a Poisson count of this size, in the normal approximation."""
    if seconds <= 0:
        return counted(number, what)
    half = 1.96 * math.sqrt(max(number, 1)) / seconds
    rate = number / seconds
    low, high = max(0.0, rate - half), rate + half
    digits = 0 if rate >= 10 else 2
    said = " to ".join(f"{end:,.{digits}f}" for end in (low, high))
    return Evidence(f"{rate:,.{digits}f} {what} a second ({said})", rate, low, high)


def per_unit(row: Mapping[str, Any], above: str, below: float, text: str) -> Evidence:
    """A column of a stage's row over a number: exact where the stage was counted all the time, else with
    half of its interval from the row."""
    value, half = float(row[above]), row.get(f"{above}_error") or 0.0
    ratio, low, high = (number / below for number in (value, value - half, value + half))
    said = f"{ratio:,.2f}" if ratio < 100 else f"{ratio:,.0f}"
    between = f" ({low:,.2f} to {high:,.2f})" if half else " (exact)"
    return Evidence(f"{said} {text}{between}", ratio, low, high)


def at_stage(evidence: Evidence, nic: Nic, row: Mapping[str, Any] | None) -> Evidence:
    """The same, with the stage and the function at which it was counted."""
    if row is None:
        return evidence
    place = nic.place(row["function"])
    where = f"; {row['stage']}: {row['function']}" + (f", {place}" if place else "")
    return Evidence(
        evidence.text + where,
        evidence.value,
        evidence.low,
        evidence.high,
        row["stage"],
        row["function"],
        place,
    )
