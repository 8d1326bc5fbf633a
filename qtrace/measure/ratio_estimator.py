"""A ratio estimator: from the variation between windows, the counts between the windows with an interval."""

from __future__ import annotations

import math
from collections.abc import Mapping

from qtrace.analyses.methods.stats import t_quantile
from qtrace.model import Direction
from qtrace.trace.budget.decision import FUNCTIONS
from qtrace.trace.session.snapshot import Count, Snapshot

__all__ = ["Exposure", "Key", "Spread", "Three", "exposure_of", "key_of", "values"]

Three = tuple[float, float, float]  # calls, frames, bytes
Key = tuple[str, str, str]  # direction, stage, function
# Direction -> exposure: the count of an exact stage, else seconds.
Exposure = dict[str, float]


def values(count: Count) -> tuple[int, int, int]:
    """The count as three numbers."""
    return count.calls, count.frames, count.bytes


def exposure_of(seconds: float, counted: Snapshot) -> Exposure:
    """The exposure of a window. If the host's system calls carry the frames, they are always counted, and all
    other counts are proportional to them: a much better measure than time, because traffic comes in
    bursts."""
    return {
        way.value: float(exact.calls) if exact else seconds for way, exact in exact_stages(counted).items()
    }


def exact_stages(counted: Snapshot) -> dict[Direction, Count | None]:
    found: dict[Direction, Count | None] = dict.fromkeys(Direction)
    for slot, stage in enumerate(counted.stages):
        if not stage.reason and stage.how not in FUNCTIONS:
            found[stage.probe.direction] = counted.total(slot)
    return found


class _Sums:
    """The sums of one direction's windows."""

    def __init__(self) -> None:
        self.windows = 0
        self.seen = self.squared = 0.0  # exposure, and the sum of its squares
        self.unseen = 0.0  # exposure while functions were not counted


class Spread:
    """The sums of one NIC. Only sums are kept, so that a long run takes no more memory."""

    def __init__(self) -> None:
        self._ways = {way.value: _Sums() for way in Direction}
        # Key -> for calls, frames and bytes: sum, sum of squares, sum of products with the exposure.
        self._counts: dict[Key, list[list[float]]] = {}

    def add(self, seconds: float, counted: Snapshot) -> None:
        """Add a window that has ended.

        At its beginning and its end, the exact stage was counted for a moment without the functions: the
        kernel counts these hits, which are unseen exposure.
        """
        exposure = {way.value: seconds for way in Direction}
        for direction, exact in exact_stages(counted).items():
            if exact:
                exposure[direction.value] = float(exact.seen)
                self._ways[direction.value].unseen += exact.calls - exact.seen
        for way, sums in self._ways.items():
            sums.windows += 1
            sums.seen += exposure[way]
            sums.squared += exposure[way] ** 2
        for slot, stage in enumerate(counted.stages):
            probe = stage.probe
            way = probe.direction.value
            held = self._counts.setdefault((way, probe.role, probe.function), [[0.0] * 3 for _ in range(3)])
            for one, value in zip(held, values(counted.total(slot)), strict=True):
                one[0] += value
                one[1] += value * value
                one[2] += value * exposure[way]

    def skip(self, seconds: float, counted: Snapshot) -> None:
        """Add a pause, in which only exact stages were counted."""
        for way, exposure in exposure_of(seconds, counted).items():
            self._ways[way].unseen += exposure

    def unseen(self, way: str) -> float:
        """The exposure in which functions were not counted."""
        return self._ways[way].unseen

    def rates(self, key: Key) -> Three:
        """Calls, frames and bytes per unit of exposure."""
        held, sums = self._counts.get(key), self._ways[key[0]]
        if not held or not sums.seen:
            return 0.0, 0.0, 0.0
        calls, frames, data = (one[0] / sums.seen for one in held)
        return calls, frames, data

    def errors(self, key: Key, unseen: float) -> Three | None:
        """Half of the 95 % interval of the counts in an unseen exposure.

        A window's count is assumed to vary in proportion to its exposure. None with fewer than two windows.
        """
        held, sums = self._counts.get(key), self._ways[key[0]]
        if sums.windows < 2 or not held or not sums.seen:
            return None
        found = []
        for one, rate in zip(held, self.rates(key), strict=True):
            residuals = max(0.0, one[1] - 2 * rate * one[2] + rate * rate * sums.squared)
            variance = residuals / (sums.windows - 1) / (sums.seen / sums.windows)  # per unit of exposure
            half = math.sqrt(variance * (unseen * unseen / sums.seen + unseen))
            found.append(t_quantile(0.975, sums.windows - 1) * half)
        return found[0], found[1], found[2]


def key_of(row: Mapping[str, object]) -> Key:
    """The key of a row of the table `stages`."""
    return str(row["direction"]), str(row["stage"]), str(row["function"])
