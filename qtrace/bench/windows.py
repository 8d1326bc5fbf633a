"""What was counted in windows, scaled to the whole time; how the windows differ gives the interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qtrace.analyses.stats import t_quantile
from qtrace.trace.regulator import FUNCTIONS, Key, Regulator, Window, key_of
from qtrace.trace.snapshot import Count

__all__ = ["Scaled", "Suppression", "Unseen"]

_NUMBERS = ("calls", "frames", "bytes")
_LEAST = 0.02  # seconds: a lap that saw less saw nothing
_Three = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Scaled:
    """A stage's counts for the whole time. `observed` is the share of the time in which they were counted;
    `errors` are half of their 95 % intervals, None where there is none."""

    observed: float
    count: Count
    errors: _Three | None


class Unseen:
    """How a time of `seconds` was observed, of which functions were not counted in `off`."""

    def __init__(
        self, regulator: Regulator, spread: _Spread, seconds: float, off: float, whole: bool
    ) -> None:
        self._regulator, self._spread = regulator, spread
        self._seconds, self._off, self._whole = seconds, min(off, seconds), whole

    @property
    def windowed(self) -> bool:
        """Whether functions were counted in windows only."""
        return self._off > 0

    def scaled(self, row: Mapping[str, Any], count: Count) -> Scaled | None:
        """The counts of a row of the table `stages` for the whole time; None where they are exact."""
        if row["how"] not in FUNCTIONS:
            return None
        on = self._seconds - self._off
        for item in self._regulator.left_out:
            if item.function == row["function"]:
                return Scaled(min(1.0, item.on / self._seconds) if self._whole else 0.0, count, None)
        if not self.windowed:
            return None
        if on < _LEAST:
            return Scaled(0.0, count, None)
        key = key_of(row)
        # A run may have begun quietly: what was not seen is like the windows, not like the beginning.
        rates = self._spread.rates(key) if self._whole else tuple(value / on for value in _values(count))
        seen = self._spread.seconds if self._whole else on
        whole = [value + rate * self._off for value, rate in zip(_values(count), rates, strict=True)]
        calls, frames, data = (round(value) for value in whole)
        return Scaled(
            on / self._seconds, Count(calls, frames, data), self._spread.errors(key, seen, self._off)
        )

    def apply(self, tables: dict[str, list[dict[str, Any]]]) -> None:
        """Scale the rows of `stages`, and tell the ledger."""
        for row in tables["stages"]:
            counted = Count(row["calls"], row["frames"], row["bytes"])
            found = self.scaled(row, counted) if row["attached"] else None
            if found is None:
                continue
            row |= {"observed": found.observed, "windowed": True}
            row |= dict(zip(_NUMBERS, _values(found.count), strict=True))
            if found.errors:
                row |= {f"{name}_error": half for name, half in zip(_NUMBERS, found.errors, strict=True)}
        tables["ledger"] += self.ledger()

    def ledger(self) -> list[dict[str, Any]]:
        """What was suppressed, as rows of the ledger."""
        rows: list[dict[str, Any]] = []
        if self.windowed:
            share = self._off / self._seconds
            note = "to keep to --max-overhead; counts are scaled, times between stages are the windows'"
            item = f"pauses in which functions were not counted, {share:.1%} of the time"
            count = max(1, self._regulator.pauses) if self._whole else 1
            rows.append({"kind": "suppressed", "item": item, "count": count, "note": note})
        for left in self._regulator.left_out:
            note = (
                f"it took {left.share:.0%} of the cost and tells no frames; its counts are of the first "
                f"{left.on:.1f} s"
            )
            rows.append({"kind": "left out", "item": left.function, "count": 1, "note": note})
        return rows


class Suppression:
    """What a regulator has suppressed, from lap to lap; it hands its windows to `keep`."""

    def __init__(self) -> None:
        self._spread = _Spread()
        self._before = 0.0  # seconds off before this lap

    def keep(self, window: Window) -> None:
        """A window has ended."""
        self._spread.add(window)

    def whole(self, regulator: Regulator, seconds: float) -> Unseen:
        """Of a session that has ended and took so many seconds."""
        return Unseen(regulator, self._spread, seconds, regulator.off, whole=True)

    def lap(self, regulator: Regulator, seconds: float, off: float) -> Unseen:
        """Of a lap that took so many seconds; `off` is the regulator's as it was when the lap was read."""
        lap, self._before = off - self._before, off
        return Unseen(regulator, self._spread, seconds, lap, whole=False)


class _Spread:
    """How much windows differ: sums only, so that a long run takes no more memory."""

    def __init__(self) -> None:
        self.number = 0
        self.seconds = 0.0
        self._squared = 0.0
        # Key -> for calls, frames and bytes: sum, sum of squares, sum of products with the window's length.
        self._sums: dict[Key, list[list[float]]] = {}

    def add(self, window: Window) -> None:
        self.number += 1
        self.seconds += window.seconds
        self._squared += window.seconds**2
        for key, count in window.counted.items():
            sums = self._sums.setdefault(key, [[0.0] * 3 for _ in _NUMBERS])
            for held, value in zip(sums, _values(count), strict=True):
                held[0] += value
                held[1] += value * value
                held[2] += value * window.seconds

    def rates(self, key: Key) -> _Three:
        """Calls, frames and bytes a second of window."""
        sums = self._sums.get(key)
        if not sums or not self.seconds:
            return 0.0, 0.0, 0.0
        calls, frames, data = (held[0] / self.seconds for held in sums)
        return calls, frames, data

    def errors(self, key: Key, seen: float, unseen: float) -> _Three | None:
        """Half of the 95 % interval of what passes in `unseen` seconds, by the rate of `seen` ones.

        The count of a window is taken to vary as its length does. None from fewer than two windows.
        """
        sums = self._sums.get(key)
        if self.number < 2 or not sums or seen <= 0:
            return None
        found = []
        for held, rate in zip(sums, self.rates(key), strict=True):
            residuals = max(0.0, held[1] - 2 * rate * held[2] + rate * rate * self._squared)
            variance = residuals / (self.number - 1) / (self.seconds / self.number)  # of a second's count
            spread = math.sqrt(variance * (unseen * unseen / seen + unseen))
            found.append(t_quantile(0.975, self.number - 1) * spread)
        return found[0], found[1], found[2]


def _values(count: Count) -> tuple[int, int, int]:
    return count.calls, count.frames, count.bytes
