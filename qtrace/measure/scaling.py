"""Scales counts of windows to the whole time: rows of a run, of a lap, and of the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qtrace.measure.measured_nic import MeasuredNic
from qtrace.measure.observer_effect import ObserverEffect
from qtrace.measure.ratio_estimator import Spread, Three, exposure_of, key_of, values
from qtrace.trace.budget.decision import FUNCTIONS
from qtrace.trace.budget.regulator import Regulator, Window
from qtrace.trace.session.snapshot import Count, Snapshot

__all__ = ["Scaled", "Suppression", "Unseen"]

_NUMBERS = ("calls", "frames", "bytes")


@dataclass(frozen=True, slots=True)
class Scaled:
    """A stage's counts for the whole time, None if unknown. `observed` is the share of the time in which they
    were counted; `errors` are half of their 95 % intervals, None without an interval."""

    observed: float
    count: Count | None
    errors: Three | None = None


class Unseen:
    """A time of `seconds`, in which functions were not counted for `off` seconds.

    `lap` has the counts of a lap, None for the whole session.
    """

    def __init__(
        self,
        regulator: Regulator,
        spreads: Mapping[str, Spread],
        seconds: float,
        off: float,
        lap: Mapping[str, Snapshot] | None = None,
        effects: Mapping[str, ObserverEffect] | None = None,
    ) -> None:
        self._regulator, self._spreads, self._effects = regulator, spreads, effects or {}
        self._seconds, self._off, self._lap = seconds, min(off, seconds), lap

    @property
    def windowed(self) -> bool:
        """Whether functions were counted in windows only."""
        return self._off > 0

    def scaled(self, nic: str, row: Mapping[str, Any], count: Count) -> Scaled | None:
        """The counts of a row of the NIC's table `stages` for the whole time; None if they are
        exact."""
        if row["how"] not in FUNCTIONS:
            return None
        for item in self._regulator.left_out:
            if item.function == row["function"]:
                whole = self._lap is None
                share = min(1.0, item.on / self._seconds)
                return Scaled(share, count) if whole else Scaled(0.0, None)
        if not self.windowed:
            return None
        observed = 1 - self._off / self._seconds
        key, spread = key_of(row), self._spreads[nic]
        if self._lap is None:
            # A run may have begun quietly: the unseen time resembles the windows, not the beginning.
            seen, unseen = values(count), spread.unseen(key[0])
        else:
            seen, unseen = (0, 0, 0), exposure_of(self._seconds, self._lap[nic])[key[0]]
        calls, frames, data = (
            round(value + rate * unseen) for value, rate in zip(seen, spread.rates(key), strict=True)
        )
        return Scaled(observed, Count(calls, frames, data), spread.errors(key, unseen))

    def apply(self, nic: str, tables: dict[str, list[dict[str, Any]]]) -> None:
        """Scale the rows of `stages` and `queues` of one NIC's tables, and add a ledger row."""
        for row in tables["stages"]:
            counted = Count(row["calls"], row["frames"], row["bytes"])
            found = self.scaled(nic, row, counted) if row["attached"] else None
            if found is None or found.count is None:
                continue
            for queue in tables.get("queues", []):
                if key_of(queue) == key_of(row):
                    _share(queue, counted, found.count)
            _share_ways([way for way in tables.get("ways", []) if _is_way_of(way, row)], found.count)
            row |= {"observed": found.observed, "windowed": True}
            row |= dict(zip(_NUMBERS, values(found.count), strict=True))
            if found.errors:
                row |= {f"{name}_error": half for name, half in zip(_NUMBERS, found.errors, strict=True)}
        tables["ledger"] += [*self.changes(nic), *self.ledger()]

    def changes(self, nic: str) -> list[dict[str, Any]]:
        """How probing changed this NIC's traffic, as rows of the ledger."""
        return self._effects[nic].ledger() if nic in self._effects else []

    def ledger(self) -> list[dict[str, Any]]:
        """Ledger rows for the suppressed measurements."""
        rows: list[dict[str, Any]] = []
        if self.windowed:
            share = self._off / self._seconds
            note = "to keep to --max-overhead; counts are scaled; times, followed frames and what is counted "
            note += "inside are the windows'"
            item = f"pauses in which functions were not counted, {share:.1%} of the time"
            rows.append({"kind": "suppressed", "item": item, "count": self._regulator.pauses, "note": note})
        for left in self._regulator.left_out:
            note = (
                f"it took {left.share:.0%} of the cost and counts no frames; its counts are from the first "
                f"{left.on:.1f} s"
            )
            rows.append({"kind": "left out", "item": left.function, "count": 1, "note": note})
        return rows


class Suppression:
    """The suppressed measurements of each NIC, from lap to lap; its `keep` receives a regulator's windows."""

    def __init__(self, nics: Sequence[MeasuredNic]) -> None:
        self._nics = nics
        self._spreads = {one.name: Spread() for one in nics}
        self._effects = {one.name: ObserverEffect() for one in nics}
        self._before = 0.0  # seconds off before this lap

    def keep(self, window: Window) -> None:
        """Add a window, or a pause, that has ended."""
        for one in self._nics:
            spread, mine = self._spreads[one.name], one.of(window.counted)
            (spread.add if window.on else spread.skip)(window.seconds, mine)
            self._effects[one.name].add(window, mine)

    def whole(self, regulator: Regulator, seconds: float) -> Unseen:
        """Of a session that has ended and took so many seconds."""
        return Unseen(regulator, self._spreads, seconds, regulator.off, effects=self._effects)

    def lap(self, regulator: Regulator, seen: Snapshot, off: float) -> Unseen:
        """The observed part of a lap; `off` is the regulator's value when the lap was read."""
        lap, self._before = off - self._before, off
        mine = {one.name: one.of(seen) for one in self._nics}
        return Unseen(regulator, self._spreads, seen.seconds, lap, mine, self._effects)


def _is_way_of(way: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Whether a row of the table `ways` is of the stage of this row."""
    return all(way[name] == row[name] for name in ("direction", "position", "stage"))


def _share_ways(ways: Sequence[dict[str, Any]], whole: Count) -> None:
    """Scale the ways of a stage as the stage: their calls are then its calls again, to the last one."""
    counted = sum(way["calls"] for way in ways)
    before = after = 0
    for way in ways if counted else ():
        before += way["calls"]
        share = whole.calls * before // counted - after
        after += share
        way["calls"] = share


def _share(queue: dict[str, Any], counted: Count, whole: Count) -> None:
    """Scale a queue's row in proportion to its stage's."""
    for name, before, after in zip(_NUMBERS, values(counted), values(whole), strict=True):
        if before:
            queue[name] = round(queue[name] * after / before)
