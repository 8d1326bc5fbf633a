"""Factors of a ratio as a tree: those below a factor multiply to it, in every repetition and on average."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from qtrace.analyses.methods.log_mean import factors_of_sum, log_mean
from qtrace.analyses.methods.stats import Estimate, geometric, of_logs

__all__ = ["Cost", "FactorTree", "Node", "Sides", "Way"]

Way = tuple[str, ...]  # the names from the tree's root to a factor
Cost = Mapping[Way, float]  # the parts of a sum, each at its place below the sum
Sides = tuple[float, float]  # of the cell, and of the other


@dataclass
class Node:
    """One factor: its logarithm in each repetition, and the quantity on both sides, in `unit`."""

    way: Way
    unit: str
    logs: dict[int, float] = field(default_factory=dict)
    values: dict[int, Sides] = field(default_factory=dict)

    def times(self, reps: Sequence[int]) -> Estimate:
        """The factor: the geometric mean with its interval; where nothing was counted it is 1."""
        return of_logs([self.logs.get(rep, 0.0) for rep in reps])

    def means(self) -> Sides:
        """The quantity on both sides, over the repetitions: geometric means where they can be."""
        every = list(self.values.values())
        first, second = (geometric([pair[side] for pair in every]).mean for side in (0, 1))
        return first, second


class FactorTree:
    """The factors of one ratio over its repetitions; they stand in the order in which they are added."""

    def __init__(self) -> None:
        self._nodes: dict[Way, Node] = {}
        self.reps: list[int] = []

    def __iter__(self) -> Iterator[Node]:
        """Each factor behind the one that it is a part of."""
        order = list(self._nodes)
        return iter(sorted(self._nodes.values(), key=lambda node: _place(node.way, order)))

    def is_leaf(self, way: Way) -> bool:
        """Whether no other factor is a part of this one."""
        return not any(other != way and other[: len(way)] == way for other in self._nodes)

    def add(self, way: Way, rep: int, log: float, values: Sides, unit: str) -> None:
        """A factor of repetition `rep`, by its logarithm; a second time the two are multiplied."""
        if rep not in self.reps:
            self.reps.append(rep)
        node = self._nodes.setdefault(way, Node(way, unit))
        node.logs[rep] = node.logs.get(rep, 0.0) + log
        before = node.values.get(rep, (0.0, 0.0))
        node.values[rep] = (before[0] + values[0], before[1] + values[1])

    def quotient(self, way: Way, rep: int, values: Sides, unit: str) -> None:
        """A factor that is the quantity of the cell over that of the other."""
        self.add(way, rep, math.log(values[0] / values[1]), values, unit)

    def sum(self, below: Way, rep: int, costs: tuple[Cost, Cost], unit: str, *, less: bool) -> None:
        """The factors of a sum below `below`: one for each part, and one for each group of parts. With `less`
        the ratio falls as the sum rises."""
        sign = -1 if less else 1
        for way, log in _logs(*costs).items():
            pair = costs[0].get(way, 0.0), costs[1].get(way, 0.0)
            for length in range(1, len(way) + 1):
                self.add(below + way[:length], rep, sign * log, pair, unit)

    def product(self, way: Way, rep: int, whole: tuple[Cost, Cost], part: Way, factors: Mapping[str, Sides],
                units: Mapping[str, str], *, less: bool) -> None:  # fmt: skip
        """The part `part` of a sum, which stands at `way`, as the product of positive `factors`."""
        mean = log_mean(math.fsum(whole[0].values()), math.fsum(whole[1].values()))
        weight = log_mean(whole[0][part], whole[1][part]) / mean * (-1 if less else 1)
        for name, values in factors.items():
            self.add((*way, name), rep, weight * math.log(values[0] / values[1]), values, units[name])

    def leaves(self) -> list[Node]:
        """The factors whose product is the ratio."""
        return [node for node in self if self.is_leaf(node.way)]


def _logs(first: Cost, second: Cost) -> dict[Way, float]:
    names = {"\0".join(way): way for way in (*first, *second)}
    sides = ({"\0".join(way): value for way, value in cost.items()} for cost in (first, second))
    return {names[name]: log for name, log in factors_of_sum(*sides).items()}


def _place(way: Way, order: Sequence[Way]) -> list[int]:
    return [order.index(way[:length]) if way[:length] in order else -1 for length in range(1, len(way) + 1)]
